import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { EventName, UsersHook } from '../contracts/events.js'
import type { Mail, MailKind, MailOptions, SendMail } from '../contracts/mail.js'
import { offerVerification, type Rules } from '../users/index.js'
import { createMailbox, type Mailbox } from './console/mailbox.js'
import { createMailListeners, type PostMail } from './listeners.js'
import { readMailOptions, type MailSettings } from './mail-options.js'
import { createOutbox } from './outbox.js'
import { renderMail } from './render.js'

/** The started option `mail`. */
export interface StartedMail {
  /** The mails that `/dev/mail` shows; null if mails are sent. */
  readonly mailbox: Mailbox | null
}

/** Tells other programs not to reply automatically, and that no person wrote the mail (RFC 3834, section 5). */
const HEADERS = { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' }

/**
 * Starts the option `mail`: adds a listener to each event that causes a mail. Call it before the listeners of the
 * application are added, so that an error in one of them does not prevent a notice. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`.
 */
export function startMail (app: FastifyInstance, rules: Rules, given: MailOptions | 'console'): StartedMail {
  const { settings, hooks, background } = rules
  const mail = readMailOptions(given, settings, () => localUrlOf(app), hooks.names)
  const mailbox = mail.send === null ? createMailbox(settings.clock) : null
  const send = mailbox === null ? mail.send as SendMail : logAndKeep(app.log, mailbox) // one of them is null
  if (mailbox !== null) app.log.warn('fastify-users: mails are not sent; the log and /dev/mail show them with their tokens')
  const listeners = createMailListeners({
    settings,
    link: mail.link,
    post: createPost(rules, mail, send, app.log),
    requestVerification: mail.requestVerification
      ? (user, context) => {
          background.run(() => offerVerification(rules, user.email, context), context.reply)
        }
      : null
  })
  for (const [name, listener] of Object.entries(listeners)) {
    // features declare some of the events; hooks.add throws for events that nothing declares
    if (hooks.names.includes(name as EventName)) hooks.add(name as EventName, listener as UsersHook<EventName>)
  }
  return { mailbox }
}

/** Returns the function that renders and sends mails after the reply, so that neither delays it nor changes it. */
function createPost ({ background }: Rules, mail: MailSettings, send: SendMail, log: FastifyBaseLogger): PostMail {
  const outbox = createOutbox(send, mail.timeoutMs, log)
  return (kind, { email, user }, data, context) => {
    background.run(async () => {
      const recipient = { user, email, kind, request: context.request }
      const rendered = await renderMail(mail, log, recipient, data)
      if (rendered !== null) await outbox.deliver(addressMail(kind, mail.from, email, rendered))
    }, context.reply)
  }
}

function addressMail (
  kind: MailKind,
  from: string,
  to: string,
  { language, subject, text, html }: Pick<Mail, 'language' | 'subject' | 'text' | 'html'>
): Mail {
  const headers = { ...HEADERS, 'Content-Language': language }
  return { kind, language, from, to, subject, text, html, headers }
}

/** Returns the function that shows mails instead of sending them. It is for development only. */
function logAndKeep (log: FastifyBaseLogger, mailbox: Mailbox): SendMail {
  return (mail) => {
    const { kind, to, subject, text } = mailbox.add(mail)
    log.info({ mail: { kind, to, subject, text } }, 'fastify-users: a mail')
  }
}

/** Returns the URL at which this process listens. It is for development only, and never comes from a request. */
function localUrlOf (app: FastifyInstance): string {
  return app.addresses().length > 0
    ? app.listeningOrigin.replace(/\/\/(?:0\.0\.0\.0|\[::1?\]|127\.0\.0\.1)(?=:|$)/, '//localhost')
    : 'http://localhost'
}
