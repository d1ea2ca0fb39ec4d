import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

export interface Config {
  file: string
  port: number
  secret: string
}

/** Reads USERS_DB (users.db), PORT (3000) and USERS_SECRET (a random one, kept beside the database). */
export function readConfig ({
  USERS_DB: file = 'users.db',
  PORT: port = '3000',
  USERS_SECRET: secret
}: NodeJS.ProcessEnv): Config {
  return { file, port: Number(port), secret: secret ?? keepSecret(`${file}-secret`) }
}

/** With the same secret after a restart, sessions and tokens stay good. */
function keepSecret (path: string): string {
  if (!existsSync(path)) writeFileSync(path, randomBytes(48).toString('base64url'), { mode: 0o600 })
  return readFileSync(path, 'utf8')
}
