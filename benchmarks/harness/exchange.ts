import type { ChildProcess } from 'node:child_process'

/** Sends an order to a process, and returns its next message. Rejects if the process ends, or after the time limit. */
export function exchange<A extends object> (child: ChildProcess, order: object | null, limitMs: number): Promise<A> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      end()
      reject(new Error(`no answer for ${Math.round(limitMs / 1000)} s`))
    }, limitMs)
    const onMessage = (message: unknown): void => {
      end()
      const answer = message as A & { error?: string }
      if (answer.error === undefined) resolve(answer)
      else reject(new Error(answer.error))
    }
    const onExit = (): void => {
      end()
      reject(new Error('the process ended'))
    }
    const end = (): void => {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
    }
    child.on('message', onMessage)
    child.on('exit', onExit)
    if (order === null) return
    child.send(order, (error) => {
      if (error !== null) onMessage({ error: 'the process ended' })
    })
  })
}
