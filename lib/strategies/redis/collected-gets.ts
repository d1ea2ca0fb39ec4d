import { answerAlone, collectReads, type WaitingRead } from '../../adapters/shared/collected-reads.js'
import type { RedisCommands } from './client.js'

/** Maximum number of keys in one command. Redis serves no other client while it reads them. */
const MAX_KEYS = 64
/** Matches the errors of servers that run GET, but not MGET: rights of the user, and nodes of a cluster. */
const REFUSAL = /^(?:NOPERM|CROSSSLOT|ERR unknown command)/

/**
 * Returns a function that reads a value. Simultaneous reads share one MGET. If the server refuses it, each read is a
 * GET from then on. The commands must have time limits: their errors have the server's error as `cause`.
 */
export function collectGets ({ get, getAll }: RedisCommands): RedisCommands['get'] {
  if (getAll === null) return get
  let isRefused = false

  async function send (reads: readonly WaitingRead<string, string | null>[]): Promise<void> {
    if (isRefused || reads.length === 1 || getAll === null) {
      answerAlone(reads, get)
      return
    }
    try {
      const values = await getAll(reads.map(({ key }) => key))
      for (const [position, read] of reads.entries()) read.resolve(values[position] ?? null)
    } catch (error) {
      isRefused = error instanceof Error && error.cause instanceof Error && REFUSAL.test(error.cause.message)
      if (!isRefused) throw error
      answerAlone(reads, get)
    }
  }

  return collectReads(send, MAX_KEYS)
}
