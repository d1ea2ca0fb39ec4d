import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

export interface Config {
  file: string
  port: number
  secret: string
}

/** Reads USERS_DB (default: users.db), PORT (3000) and USERS_SECRET (a random secret in a file beside the database). */
export function readConfig ({
  USERS_DB: file = 'users.db',
  PORT: port = '3000',
  USERS_SECRET: secret
}: NodeJS.ProcessEnv): Config {
  return { file, port: Number(port), secret: secret ?? keepSecret(`${file}-secret`) }
}

/** Returns the stored secret, or creates one. Sessions and tokens are valid after a restart only with this secret. */
function keepSecret (path: string): string {
  if (!existsSync(path)) writeFileSync(path, randomBytes(48).toString('base64url'), { mode: 0o600 })
  return readFileSync(path, 'utf8')
}
