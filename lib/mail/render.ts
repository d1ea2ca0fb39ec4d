import type { FastifyBaseLogger } from 'fastify'
import type { MailBody, MailContent, MailContext, MailData, MailKind, MailRecipient, MailTexts } from '../contracts/mail.js'
import { isObject } from '../shared/values.js'
import { renderContent } from './layout.js'
import type { MailSettings } from './mail-options.js'
import { headerText } from './plain-text.js'

/** A rendered mail and its language. */
export interface RenderedMail extends MailBody {
  language: string
}

const DAY_SECONDS = 86_400
const HOUR_SECONDS = 3600
const MINUTE_SECONDS = 60

/**
 * Returns a mail in the language of its recipient; null if a template of the application sends none. If such a template
 * or `languageOf` throws, the error is logged and the plugin's own text or the default language is used, so that no
 * notice is lost.
 */
export async function renderMail<K extends MailKind> (
  settings: MailSettings,
  log: FastifyBaseLogger,
  recipient: MailRecipient & { kind: K },
  data: MailData[K]
): Promise<RenderedMail | null> {
  const { kind } = recipient
  const { tag, texts } = await chooseLanguage(settings, log, recipient)
  const context = createContext(settings.service, tag)
  const own = await renderOwn(settings, log, kind, data, context)
  if (own === null) return null
  const mailTexts: MailTexts = texts
  const content = own ?? mailTexts[kind](data, context)
  const body = isBody(content)
    ? { ...content, subject: headerText(content.subject) }
    : renderContent(content, texts.frame, context)
  return { ...body, language: tag }
}

/** Returns the values and functions for the texts of one language. */
export function createContext (service: string, language: string): MailContext {
  return {
    service,
    language,
    duration: (seconds) => formatDuration(seconds, language),
    time: (date) =>
      new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' })
        .format(date) + ' UTC'
  }
}

/** Returns a duration in its largest unit that is whole, or in minutes. */
function formatDuration (seconds: number, language: string): string {
  const [unit, size] =
    seconds % DAY_SECONDS === 0
      ? ['day', DAY_SECONDS]
      : seconds % HOUR_SECONDS === 0
        ? ['hour', HOUR_SECONDS]
        : ['minute', MINUTE_SECONDS]
  return new Intl.NumberFormat(language, { style: 'unit', unit: String(unit), unitDisplay: 'long' })
    .format(Math.max(1, Math.floor(seconds / Number(size))))
}

async function chooseLanguage (
  settings: MailSettings,
  log: FastifyBaseLogger,
  recipient: MailRecipient
): Promise<{ tag: string; texts: NonNullable<ReturnType<MailSettings['languages']['get']>>['texts'] }> {
  const { languages, language, languageOf } = settings
  let wanted: unknown = null
  try {
    wanted = typeof languageOf === 'function'
      ? await languageOf(recipient)
      : (recipient.user as Readonly<Record<string, unknown>> | null)?.[languageOf ?? '']
  } catch (error) {
    log.error({ err: error }, 'fastify-users: mail.languageOf failed; the mail has the default language')
  }
  const found = typeof wanted === 'string' ? findLanguage(languages, wanted) : undefined
  // readMailOptions checked that the default language exists
  return found ?? languages.get(language.toLowerCase()) as NonNullable<typeof found>
}

/** Looks a tag up, then the tag without its last parts (RFC 4647, section 3.4). */
function findLanguage (languages: MailSettings['languages'], tag: string): ReturnType<typeof languages.get> {
  const parts = tag.slice(0, 35).toLowerCase().split(/[-_]/)
  for (let length = parts.length; length > 0; length--) {
    const found = languages.get(parts.slice(0, length).join('-'))
    if (found !== undefined) return found
  }
  return undefined
}

/** Returns the result of the application's template; undefined if it has none or the template failed. */
async function renderOwn<K extends MailKind> (
  { templates }: MailSettings,
  log: FastifyBaseLogger,
  kind: K,
  data: MailData[K],
  context: MailContext
): Promise<MailContent | MailBody | null | undefined> {
  const template = templates[kind]
  if (template === undefined) return undefined
  if (template === false) return null
  try {
    const result = await template(data, context)
    if (result === null || isComplete(result)) return result
    log.error({ mail: kind }, 'fastify-users: a mail template returned neither a content nor a mail; the default text is used')
  } catch (error) {
    log.error({ err: error, mail: kind }, 'fastify-users: a mail template failed; the default text is used')
  }
  return undefined
}

function isComplete (result: unknown): boolean {
  if (!isObject(result) || typeof result['subject'] !== 'string') return false
  return Array.isArray(result['paragraphs']) || (typeof result['text'] === 'string' && typeof result['html'] === 'string')
}

function isBody (content: MailContent | MailBody): content is MailBody {
  return 'html' in content
}
