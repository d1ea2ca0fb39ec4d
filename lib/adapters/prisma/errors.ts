import { isObject } from '../../shared/values.js'
import type { PrismaDatabase } from './client.js'

/** An error of the database, with the properties that its own client would set. */
class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
}

/** The error of a database as Prisma's driver adapters report it. */
interface AdapterCause {
  readonly originalCode?: unknown
  readonly originalMessage?: unknown
  readonly constraint?: { readonly index?: unknown }
}

const SQLSTATE = /^[0-9A-Z]{5}$/
const SQLITE_CODE = /^SQLITE_/
/** Error numbers from this one on come from the client `mariadb`, not from the server. */
const FIRST_CLIENT_NUMBER = 45_000

/**
 * Returns the error of the database with the properties of its own client, or the given error if it has none. Prisma's
 * message for the log may contain values, so the error is not kept as the cause.
 */
export function databaseErrorOf (error: unknown, database: PrismaDatabase): unknown {
  const { originalCode, originalMessage, constraint } = causeOf(error)
  const code = String(originalCode)
  const message = String(originalMessage)
  if (database === 'postgres' && SQLSTATE.test(code)) {
    return Object.assign(new DatabaseError(message), { severity: 'ERROR', code, constraint: constraint?.index })
  }
  if (database === 'mysql' && Number(code) > 0 && Number(code) < FIRST_CLIENT_NUMBER) {
    return Object.assign(new DatabaseError(message), { sqlState: '', errno: Number(code) })
  }
  if (database === 'sqlite' && SQLITE_CODE.test(code)) return Object.assign(new DatabaseError(message), { code })
  return error
}

function causeOf (error: unknown): AdapterCause {
  if (!(error instanceof Error) || !('meta' in error) || !isObject(error.meta)) return {}
  const { driverAdapterError: adapterError } = error.meta
  const cause = isObject(adapterError) ? adapterError['cause'] : undefined
  return isObject(cause) ? cause : {}
}
