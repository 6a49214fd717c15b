"""Messages to and from AWS IoT Core, kept while there is no link (Greengrass contract 4.8)."""
