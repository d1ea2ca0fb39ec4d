import { storeUnavailable } from '../../../errors.js'
import { beforeDeadline } from '../../shared/time-limit.js'

/** How a pool lends its connections. */
export interface Lender<Client> {
  lend(): Promise<Client>
  /** Gives a connection back. A broken one is closed, whatever is under way on it. */
  giveBack(client: Client, broken: boolean): void
  /** Whether work that failed so costs the connection (default: always). */
  isBroken?(error: unknown): boolean
}

/**
 * Works on a lent connection. Throws `FST_USERS_STORE_UNAVAILABLE` when waiting for it and the work take longer than
 * that
 * many milliseconds in all: the connection is closed then, so that nothing of this work is left in the pool. Whether a
 * write was done all the same, nobody knows.
 */
export async function borrow<Client, Result> (
  pool: Lender<Client>,
  timeoutMs: number,
  work: (client: Client) => Promise<Result>
): Promise<Result> {
  let lent: { client: Client } | undefined
  let late = false
  const run = async (): Promise<Result> => {
    const client = await pool.lend()
    if (late) {
      pool.giveBack(client, false)
      throw storeUnavailable('a connection came too late') // nobody waits for it any more
    }
    lent = { client }
    return await work(client)
  }
  try {
    const result = await beforeDeadline(run, timeoutMs)
    end(pool, lent, false)
    return result
  } catch (error) {
    late = true
    end(pool, lent, pool.isBroken?.(error) ?? true)
    throw error
  }
}

function end<Client> (pool: Lender<Client>, lent: { client: Client } | undefined, broken: boolean): void {
  if (lent !== undefined) pool.giveBack(lent.client, broken)
}
