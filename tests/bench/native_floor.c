/* The least that a server of Greengrass IPC must do between two clients, in native code.
 *
 *     native_floor SOCKET
 *
 * Accepts every connection, and hands every message that one client publishes to all clients that
 * subscribed, whatever their topics. Understands no more of a frame than that takes, checks nothing
 * but its sums, and answers with the headers in floor_headers.h, which bench_ipc writes from the
 * nucleus's own templates. What it takes is what the clients and the machine take: no server is
 * quicker here.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "floor_headers.h"

enum { PRELUDE = 12, OVERHEAD = 16, BUFFER = 1 << 20, MOST = 64 };

struct client {
    int socket;
    size_t filled;
    uint8_t buffer[BUFFER];
};

struct batch {
    size_t filled;
    uint8_t buffer[2 * BUFFER];
};

static uint32_t table[256];
static int subscribers[MOST];
static int subscribed;
static struct batch answers, events;

static void make_table(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t sum = n;
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? 0xEDB88320u ^ (sum >> 1) : sum >> 1;
        table[n] = sum;
    }
}

static uint32_t crc32(const uint8_t *bytes, size_t length) {
    uint32_t sum = ~0u;
    while (length--)
        sum = table[(sum ^ *bytes++) & 0xFF] ^ (sum >> 8);
    return ~sum;
}

static uint32_t read_number(const uint8_t *at) {
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return ntohl(number);
}

static void write_number(uint8_t *at, uint32_t number) {
    number = htonl(number);
    memcpy(at, &number, sizeof number);
}

/* Append a frame: headers with the stream's number put in, and up to two parts of a payload. */
static void add(struct batch *batch, struct headers headers, uint32_t stream, const void *first,
                size_t first_length, const char *second) {
    size_t second_length = strlen(second);
    size_t length = OVERHEAD + headers.length + first_length + second_length;
    if (batch->filled + length > sizeof batch->buffer)
        abort();
    uint8_t *frame = batch->buffer + batch->filled;
    write_number(frame, length);
    write_number(frame + 4, headers.length);
    write_number(frame + 8, crc32(frame, 8));
    memcpy(frame + PRELUDE, headers.bytes, headers.length);
    write_number(frame + PRELUDE + headers.stream_at, stream);
    uint8_t *payload = frame + PRELUDE + headers.length;
    memcpy(payload, first, first_length);
    memcpy(payload + first_length, second, second_length);
    write_number(frame + length - 4, crc32(frame, length - 4));
    batch->filled += length;
}

static void handle(struct client *client, const uint8_t *frame, size_t length) {
    const uint8_t *headers = frame + PRELUDE;
    size_t headers_length = read_number(frame + 4);
    if (crc32(frame, length - 4) != read_number(frame + length - 4))
        abort();
    const uint8_t *name = memmem(headers, headers_length, ":stream-id", 10);
    uint32_t stream = read_number(name + 11);
    if (memmem(headers, headers_length, ":version", 8)) {
        add(&answers, ACCEPTED, 0, "", 0, "");
    } else if (memmem(headers, headers_length, "#SubscribeToTopic", 17)) {
        if (subscribed < MOST)
            subscribers[subscribed++] = client->socket;
        add(&answers, SUBSCRIBED, stream, "", 0, "{}");
    } else if (memmem(headers, headers_length, "#PublishToTopic", 15)) {
        static const char member[] = "\"publishMessage\": ";
        const uint8_t *payload = headers + headers_length, *end = frame + length - 4;
        const uint8_t *message = memmem(payload, end - payload, member, sizeof member - 1);
        message += sizeof member - 1;
        add(&answers, PUBLISHED, stream, "", 0, "{}");
        /* Two braces end the message, one the request: the context goes in before the second. */
        add(&events, EVENT, 1, message, end - 3 - message,
            ",\"context\":{\"topic\":\"bench/topic\"}}}");
    }
}

static void end(struct client *client) {
    for (int n = 0; n < subscribed; n++)
        if (subscribers[n] == client->socket)
            subscribers[n--] = subscribers[--subscribed];
    close(client->socket);
    free(client);
}

static void serve(struct client *client) {
    ssize_t got = read(client->socket, client->buffer + client->filled, BUFFER - client->filled);
    if (got <= 0) {
        end(client);
        return;
    }
    client->filled += got;
    size_t done = 0;
    while (client->filled - done >= PRELUDE) {
        uint32_t length = read_number(client->buffer + done);
        if (length > BUFFER)
            abort();
        if (client->filled - done < length)
            break;
        handle(client, client->buffer + done, length);
        done += length;
    }
    client->filled -= done;
    memmove(client->buffer, client->buffer + done, client->filled);
    for (int n = 0; events.filled && n < subscribed; n++)
        send(subscribers[n], events.buffer, events.filled, MSG_NOSIGNAL);
    if (answers.filled)
        send(client->socket, answers.buffer, answers.filled, MSG_NOSIGNAL);
    answers.filled = events.filled = 0;
}

int main(int count, char **words) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (count != 2 || strlen(words[1]) >= sizeof address.sun_path)
        return 2;
    make_table();
    strcpy(address.sun_path, words[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, MOST))
        return 1;
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event ready[MOST];
        int number = epoll_wait(poll, ready, MOST, -1);
        for (int n = 0; n < number; n++) {
            struct client *client = ready[n].data.ptr;
            if (client) {
                serve(client);
                continue;
            }
            client = calloc(1, sizeof *client);
            client->socket = accept(listener, NULL, NULL);
            event.data.ptr = client;
            epoll_ctl(poll, EPOLL_CTL_ADD, client->socket, &event);
        }
    }
}
