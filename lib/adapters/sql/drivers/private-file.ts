import { closeSync, openSync } from 'node:fs'

const OWNER_ONLY = 0o600

/**
 * Creates an empty database file that only its owner can read. SQLite gives its other files the same permissions. An
 * existing file keeps its permissions.
 */
export function createPrivateFile (path: string): void {
  if (path === ':memory:') return
  try {
    closeSync(openSync(path, 'wx', OWNER_ONLY))
  } catch {
    // the file exists, or SQLite reports why it cannot be created
  }
}
