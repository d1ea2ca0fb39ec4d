import type { FastifyBaseLogger } from 'fastify'
import type { Mail, SendMail } from '../contracts/mail.js'
import { isObject } from '../shared/values.js'

/** Largest number of parallel calls of `send`, so that a burst of requests does not open hundreds of connections. */
const MAX_PARALLEL = 10
/** Largest number of waiting mails. Further mails are dropped: a slow mail server must not fill the memory. */
const MAX_WAITING = 1000
const ERROR_CODE = /^[A-Z][A-Z0-9_]{1,40}$/

/** Hands mails over to the application's function `send`. */
export interface Outbox {
  /** Sends a mail. Resolves when it is sent, or when its failure is logged. Never rejects. */
  deliver(mail: Mail): Promise<void>
}

/** Creates the outbox of one registration. `timeoutMs` is the longest time of one call of `send`, in milliseconds. */
export function createOutbox (send: SendMail, timeoutMs: number, log: FastifyBaseLogger): Outbox {
  const waiting: (() => void)[] = []
  let running = 0

  async function takeTurn (): Promise<void> {
    if (running < MAX_PARALLEL) running++
    else await new Promise<void>((resolve) => { waiting.push(resolve) })
  }

  /** Passes the turn on to the next waiting mail, or ends it. */
  function endTurn (): void {
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }

  return {
    async deliver (mail) {
      const { kind } = mail
      if (waiting.length >= MAX_WAITING) {
        log.error({ mail: kind, waiting: waiting.length }, 'fastify-users: too many mails are waiting; this one was dropped')
        return
      }
      await takeTurn()
      try {
        const isSent = await sendWithin(send, mail, timeoutMs)
        if (!isSent) log.error({ mail: kind, timeoutMs }, 'fastify-users: sending a mail took too long')
      } catch (error) {
        log.error({ mail: kind, ...describeFailure(error) }, 'fastify-users: a mail could not be sent')
      } finally {
        endTurn()
      }
    }
  }
}

/** Returns false if the call takes longer than `timeoutMs`; then it continues and its result is ignored. */
async function sendWithin (send: SendMail, mail: Mail, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, false)
  })
  try {
    return await Promise.race([Promise.resolve(send(mail)).then(() => true), timeout])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Returns the values of an error for the log. Its message is not logged: it may contain e-mails, and the text of the
 * mail with its token.
 */
function describeFailure (error: unknown): Record<string, unknown> {
  if (!isObject(error)) return {}
  const { name, code, responseCode } = error
  return {
    ...(typeof name === 'string' && /^\w{1,40}$/.test(name) ? { error: name } : {}),
    ...(typeof code === 'string' && ERROR_CODE.test(code) ? { code } : {}),
    ...(Number.isInteger(responseCode) ? { responseCode } : {})
  }
}
