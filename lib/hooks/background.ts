import { setImmediate as nextTurn, setTimeout } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyReply } from 'fastify'

const CLOSE_WAIT_MS = 5000

/** Runs work that no reply waits for. */
export interface Background {
  /**
   * Starts work after the reply was sent, so that the response time does not reveal whether there is work. Without a
   * reply, work starts on the next turn of the event loop. Errors are logged.
   */
  run(work: () => Promise<unknown>, reply?: FastifyReply | null): void
  /** Resolves when all work is done, including work that still waits for its reply to be sent. */
  settled(): Promise<void>
  /** Like `settled`, but stops waiting after five seconds and logs the number of unfinished tasks. */
  close(): Promise<void>
}

/** Creates the background work of one registration of the plugin. */
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
            log.error({ err: error }, 'fastify-users: background work after a reply failed')
          }
        )
        .finally(() => {
          running.delete(task)
        })
      running.add(task)
    },

    settled,

    async close () {
      const { promise, cancel } = startTimeout(CLOSE_WAIT_MS)
      await Promise.race([settled(), promise])
      cancel()
      if (running.size > 0) {
        log.error({ unfinished: running.size }, 'fastify-users: closed before all background work was done')
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
  await nextTurn() // the client of an injected request receives the reply first
}

function startTimeout (ms: number): { promise: Promise<void>; cancel(): void } {
  const stop = new AbortController()
  const promise = setTimeout(ms, undefined, { signal: stop.signal }).catch(() => {})
  return {
    promise,
    cancel: () => {
      stop.abort()
    }
  }
}
