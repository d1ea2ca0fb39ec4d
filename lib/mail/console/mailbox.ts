import type { Mail } from '../../contracts/mail.js'
import type { Clock } from '../../contracts/settings.js'

/** A mail that was not sent. */
export interface KeptMail extends Mail {
  readonly id: number
  readonly time: Date
}

/** The latest mails of a process, for development. */
export interface Mailbox {
  /** Keeps a mail. Deletes the oldest ones if there are too many. Returns the kept mail. */
  add(mail: Mail): KeptMail
  /** The mails, the newest first. */
  list(): readonly KeptMail[]
  get(id: number): KeptMail | undefined
}

const MAX_MAILS = 100
const MAX_CHARACTERS = 5_000_000

/** Creates an empty mailbox, which keeps 100 mails and 5 million characters at most. */
export function createMailbox (clock: Clock): Mailbox {
  const mails: KeptMail[] = []
  let lastId = 0
  let characters = 0

  return {
    add (mail) {
      const kept = { ...mail, id: ++lastId, time: new Date(clock()) }
      mails.push(kept)
      characters += sizeOf(kept)
      while (mails.length > MAX_MAILS || (characters > MAX_CHARACTERS && mails.length > 1)) {
        const [oldest] = mails.splice(0, 1)
        characters -= oldest === undefined ? 0 : sizeOf(oldest)
      }
      return kept
    },
    list: () => mails.toReversed(),
    get: (id) => mails.find((mail) => mail.id === id)
  }
}

function sizeOf ({ subject, text, html }: Mail): number {
  return subject.length + text.length + html.length
}
