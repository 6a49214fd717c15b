"""The tables of Greengrass in the cloud's database.

Times are seconds since the epoch. Documents are JSON text. Every column that an operation filters
or orders by has an index.
"""

from __future__ import annotations

SCHEMA = """
CREATE TABLE IF NOT EXISTS greengrass_components (
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  rank BLOB NOT NULL,
  recipe TEXT NOT NULL,
  state TEXT NOT NULL,
  message TEXT NOT NULL,
  errors TEXT NOT NULL,
  created REAL NOT NULL,
  PRIMARY KEY (name, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS greengrass_components_rank ON greengrass_components (name, rank);
CREATE INDEX IF NOT EXISTS greengrass_components_state ON greengrass_components (state);

CREATE TABLE IF NOT EXISTS greengrass_artifacts (
  bucket TEXT NOT NULL,
  object TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  PRIMARY KEY (bucket, object, name, version),
  FOREIGN KEY (name, version) REFERENCES greengrass_components ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS greengrass_artifacts_version ON greengrass_artifacts (name, version);

CREATE TABLE IF NOT EXISTS greengrass_deployments (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  target TEXT NOT NULL,
  parent TEXT,
  revision INTEGER NOT NULL,
  request TEXT NOT NULL,
  document TEXT NOT NULL,
  reference TEXT,
  job TEXT UNIQUE,
  created REAL NOT NULL,
  status TEXT NOT NULL,
  latest INTEGER NOT NULL,
  delivered INTEGER NOT NULL,
  UNIQUE (kind, target, revision)
);
CREATE INDEX IF NOT EXISTS greengrass_deployments_latest ON greengrass_deployments (latest, number);
CREATE INDEX IF NOT EXISTS greengrass_deployments_parent ON greengrass_deployments (parent, number);
CREATE INDEX IF NOT EXISTS greengrass_deployments_waiting ON greengrass_deployments (delivered);

CREATE TABLE IF NOT EXISTS greengrass_roots (
  kind TEXT NOT NULL,
  target TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  deployment TEXT NOT NULL,
  PRIMARY KEY (kind, target, name, version, deployment)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS greengrass_roots_deployment ON greengrass_roots (deployment);

CREATE TABLE IF NOT EXISTS greengrass_outcomes (
  thing TEXT NOT NULL,
  deployment TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  details TEXT NOT NULL,
  modified REAL NOT NULL,
  PRIMARY KEY (thing, deployment)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS greengrass_core_devices (
  thing TEXT PRIMARY KEY,
  core_version TEXT,
  platform TEXT,
  architecture TEXT,
  runtime TEXT NOT NULL,
  status TEXT NOT NULL,
  updated REAL NOT NULL,
  sequence INTEGER NOT NULL,
  sent INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  chunks TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS greengrass_core_devices_status
  ON greengrass_core_devices (status, thing);
CREATE INDEX IF NOT EXISTS greengrass_core_devices_runtime
  ON greengrass_core_devices (runtime, thing);

CREATE TABLE IF NOT EXISTS greengrass_core_device_groups (
  target TEXT NOT NULL,
  thing TEXT NOT NULL,
  PRIMARY KEY (target, thing)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS greengrass_installed (
  thing TEXT NOT NULL,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  codes TEXT NOT NULL,
  root INTEGER NOT NULL,
  source TEXT NOT NULL,
  changed REAL NOT NULL,
  reported REAL NOT NULL,
  generation INTEGER NOT NULL,
  PRIMARY KEY (thing, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS greengrass_client_devices (
  core_device TEXT NOT NULL,
  thing TEXT NOT NULL,
  associated REAL NOT NULL,
  PRIMARY KEY (core_device, thing)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS greengrass_connectivity (
  thing TEXT PRIMARY KEY,
  version TEXT NOT NULL,
  info TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS greengrass_service_role (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  role TEXT NOT NULL,
  associated REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS greengrass_tags (
  arn TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (arn, name)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS greengrass_tokens (
  operation TEXT NOT NULL,
  token TEXT NOT NULL,
  result TEXT NOT NULL,
  expires REAL NOT NULL,
  PRIMARY KEY (operation, token)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS greengrass_tokens_expires ON greengrass_tokens (expires);
"""
