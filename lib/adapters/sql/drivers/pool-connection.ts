import { storeUnavailable } from '../../../errors.js'
import { withTimeout } from '../../shared/time-limit.js'

/** How a pool lends its connections. */
export interface PoolAccess<Client> {
  acquire(): Promise<Client>
  /** Gives a connection back. A broken one is closed, whatever is under way on it. */
  release(client: Client, broken: boolean): void
  /** Whether work that failed so costs the connection (default: always). */
  isBroken?(error: unknown): boolean
}

/**
 * Works on a lent connection. Throws `FST_USERS_STORE_UNAVAILABLE` when waiting for it and the work take longer than
 * that
 * many milliseconds in all: the connection is closed then, so that nothing of this work is left in the pool. Whether a
 * write was done all the same, nobody knows.
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
      throw storeUnavailable('a connection came too late') // nobody waits for it any more
    }
    lent = { client }
    return await work(client)
  }
  try {
    const result = await withTimeout(run, timeoutMs)
    end(pool, lent, false)
    return result
  } catch (error) {
    late = true
    end(pool, lent, pool.isBroken?.(error) ?? true)
    throw error
  }
}

function end<Client> (pool: PoolAccess<Client>, lent: { client: Client } | undefined, broken: boolean): void {
  if (lent !== undefined) pool.release(lent.client, broken)
}
