import { storeUnavailable } from '../../../errors.js'
import { withTimeout } from '../../shared/time-limit.js'

/** Acquires and releases the connections of a pool. */
export interface PoolAccess<Client> {
  acquire(): Promise<Client>
  /** Returns a connection to the pool. A broken one is closed, even if a statement is still running on it. */
  release(client: Client, broken: boolean): void
  /** Returns true if the error makes the connection unusable. Default: every error does. */
  isBroken?(error: unknown): boolean
}

/**
 * Runs work on a connection of the pool. Throws `FST_USERS_STORE_UNAVAILABLE` if the wait for a connection and the work
 * together take longer than `timeoutMs` milliseconds. The connection is closed then, so that the unfinished work cannot
 * affect the next user of the pool. A write that timed out may or may not have happened.
 */
export async function withPoolConnection<Client, Result> (
  pool: PoolAccess<Client>,
  timeoutMs: number,
  work: (client: Client) => Promise<Result>
): Promise<Result> {
  let lent: { client: Client } | undefined
  let late = false
  const run = async (): Promise<Result> => {
    const client = await pool.acquire()
    if (late) {
      pool.release(client, false)
      throw storeUnavailable('no connection of the pool was free in time') // ignored: the time-out was already reported
    }
    lent = { client }
    return await work(client)
  }
  try {
    const result = await withTimeout(run, timeoutMs)
    returnClient(pool, lent, false)
    return result
  } catch (error) {
    late = true
    returnClient(pool, lent, pool.isBroken?.(error) ?? true)
    throw error
  }
}

function returnClient<Client> (pool: PoolAccess<Client>, lent: { client: Client } | undefined, broken: boolean): void {
  if (lent !== undefined) pool.release(lent.client, broken)
}
