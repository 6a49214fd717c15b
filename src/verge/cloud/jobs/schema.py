"""The tables of the jobs service."""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs_job (
    id TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    continuous INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    content TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs_document (
    job_id TEXT PRIMARY KEY REFERENCES jobs_job ON DELETE CASCADE,
    document TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS jobs_member (
    job_id TEXT NOT NULL REFERENCES jobs_job ON DELETE CASCADE,
    thing TEXT NOT NULL,
    PRIMARY KEY (job_id, thing)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs_waiting (
    job_id TEXT NOT NULL REFERENCES jobs_job ON DELETE CASCADE,
    thing TEXT NOT NULL,
    PRIMARY KEY (job_id, thing)
);
CREATE TABLE IF NOT EXISTS jobs_execution (
    job_id TEXT NOT NULL REFERENCES jobs_job ON DELETE CASCADE,
    thing TEXT NOT NULL,
    number INTEGER NOT NULL,
    status TEXT NOT NULL,
    details TEXT NOT NULL DEFAULT '{}',
    queued_at REAL NOT NULL,
    started_at REAL,
    updated_at REAL NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    deadline REAL,
    step_deadline REAL,
    forced INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, thing, number)
);
CREATE INDEX IF NOT EXISTS jobs_execution_thing ON jobs_execution (thing, status);
CREATE INDEX IF NOT EXISTS jobs_execution_status ON jobs_execution (job_id, status);
CREATE INDEX IF NOT EXISTS jobs_execution_queued ON jobs_execution (job_id, queued_at);
CREATE INDEX IF NOT EXISTS jobs_execution_running ON jobs_execution (status)
    WHERE status = 'IN_PROGRESS';
"""
