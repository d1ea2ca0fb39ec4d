import { setTimeout } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'

const CLOSE_WAIT_MS = 5000

/** Work that runs after the reply. */
export interface Background {
  /** Starts it; an error is logged and goes no further. */
  run(work: () => Promise<unknown>): void
  /** Resolves when nothing is under way. */
  settled(): Promise<void>
  /** Like `settled`, but gives up after five seconds and logs how much was left. */
  close(): Promise<void>
}

export function createBackground (log: FastifyBaseLogger): Background {
  const running = new Set<Promise<void>>()

  async function settled (): Promise<void> {
    while (running.size > 0) await Promise.all(running)
  }

  return {
    run (work) {
      const task = Promise.resolve().then(work).then(() => {}, (error: unknown) => {
        log.error({ err: error }, 'fastify-users: work after a reply failed')
      }).finally(() => { running.delete(task) })
      running.add(task)
    },

    settled,

    async close () {
      const { promise, cancel } = timeout(CLOSE_WAIT_MS)
      await Promise.race([settled(), promise])
      cancel()
      if (running.size > 0) log.error({ left: running.size }, 'fastify-users: closed before all work after replies was done')
    }
  }
}

function timeout (ms: number): { promise: Promise<void>, cancel(): void } {
  const stop = new AbortController()
  const promise = setTimeout(ms, undefined, { signal: stop.signal }).catch(() => {})
  return { promise, cancel: () => { stop.abort() } }
}
