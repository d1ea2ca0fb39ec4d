import type { UsersOptions } from '../../options.js'
import type { Finding } from './finding.js'

/** Checks that mails are sent, and not only printed. */
export function checkMail ({ mail }: Pick<UsersOptions, 'mail'>): readonly Finding[] {
  const about = 'mail'
  if (mail === undefined) return [{ level: 'ok', about, text: 'is not set: hooks of the application send mails' }]
  if (mail === 'console' || mail.send === 'console') {
    const text = 'prints mails and sends none; pass a function that sends mails, because production refuses console'
    return [{ level: 'warn', about, text }]
  }
  return [{ level: 'ok', about, text: 'is sent by a function of the config' }]
}
