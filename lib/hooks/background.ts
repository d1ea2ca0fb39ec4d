import { setImmediate as nextTurn, setTimeout } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyReply } from 'fastify'

const CLOSE_WAIT_MS = 5000

/** Work that no reply waits for. */
export interface Background {
  /**
   * Starts work after the reply has been sent, so that the time of the reply does not tell whether there is work;
   * without
   * a reply on the next turn of the event loop. Errors are logged.
   */
  run(work: () => Promise<unknown>, reply?: FastifyReply | null): void
  /** Resolves when no work is left, also none that waits for its reply. */
  settled(): Promise<void>
  /** Like `settled`, but gives up after five seconds and logs how much was left. */
  close(): Promise<void>
}

/** Creates the background of one registration. */
export function createBackground (log: FastifyBaseLogger): Background {
  const running = new Set<Promise<void>>()

  async function settled (): Promise<void> {
    while (running.size > 0) await Promise.all(running)
  }

  return {
    run (work, reply = null) {
      const task = whenSent(reply)
        .then(work)
        .then(
          () => {},
          (error: unknown) => {
            log.error({ err: error }, 'fastify-users: work after a reply failed')
          }
        )
        .finally(() => {
          running.delete(task)
        })
      running.add(task)
    },

    settled,

    async close () {
      const { promise, cancel } = timeout(CLOSE_WAIT_MS)
      await Promise.race([settled(), promise])
      cancel()
      if (running.size > 0) {
        log.error({ left: running.size }, 'fastify-users: closed before all work after replies was done')
      }
    }
  }
}

/** Resolves when the reply has been sent or its connection has ended. */
async function whenSent (reply: FastifyReply | null): Promise<void> {
  if (reply !== null) {
    await new Promise<void>((resolve) => {
      reply.then(resolve, () => {
        resolve()
      })
    })
  }
  await nextTurn() // the client of an injected request hears of the reply first
}

function timeout (ms: number): { promise: Promise<void>; cancel(): void } {
  const stop = new AbortController()
  const promise = setTimeout(ms, undefined, { signal: stop.signal }).catch(() => {})
  return {
    promise,
    cancel: () => {
      stop.abort()
    }
  }
}
