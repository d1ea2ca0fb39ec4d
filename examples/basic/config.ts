import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

export interface Config {
  file: string
  port: number
  secret: string
  captcha: boolean
}

/**
 * Reads USERS_DB (default: users.db), PORT (3000), USERS_SECRET (a random secret in a file beside the database) and
 * USERS_CAPTCHA: with `1`, registration needs a captcha.
 */
export function readConfig ({
  USERS_DB: file = 'users.db',
  PORT: port = '3000',
  USERS_SECRET: secret,
  USERS_CAPTCHA: captcha
}: NodeJS.ProcessEnv): Config {
  return {
    file,
    port: Number(port),
    secret: secret ?? keepSecret(`${file}-secret`),
    captcha: captcha === '1'
  }
}

/** Returns the stored secret, or creates one. Sessions and tokens are valid after a restart only with this secret. */
function keepSecret (path: string): string {
  if (!existsSync(path)) writeFileSync(path, randomBytes(48).toString('base64url'), { mode: 0o600 })
  return readFileSync(path, 'utf8')
}
