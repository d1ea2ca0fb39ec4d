import type { EventName } from '../contracts/events.js'
import type { MailKind, MailLanguage, MailOptions, MailTemplates, SendMail } from '../contracts/mail.js'
import type { Settings } from '../contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkBoolean, checkKnownKeys, checkObject, checkOption } from '../shared/option-checks.js'
import { checkTimeLimit } from '../shared/time-limit.js'
import { isFunction, isObject } from '../shared/values.js'
import { german } from './languages/de.js'
import { english } from './languages/en.js'
import { oneLine } from './plain-text.js'
import { readUrls, type CreateLink } from './urls.js'

/** The checked option `mail`. */
export interface MailSettings {
  /** Null for mails that are logged and shown at `/dev/mail`. */
  readonly send: SendMail | null
  readonly from: string
  readonly service: string
  readonly link: CreateLink
  /** Languages by tag in lower case. */
  readonly languages: ReadonlyMap<string, { readonly tag: string; readonly texts: MailLanguage }>
  readonly language: string
  readonly languageOf: NonNullable<MailOptions['languageOf']> | null
  readonly templates: MailTemplates
  readonly requestVerification: boolean
  readonly timeoutMs: number
}

const KEYS: Record<keyof MailOptions, true> = {
  send: true,
  from: true,
  service: true,
  urls: true,
  language: true,
  languageOf: true,
  languages: true,
  templates: true,
  requestVerification: true,
  timeoutMs: true
}

const DEFAULT_TIMEOUT = 30_000 // milliseconds
const FRAME = 'frame'
/** One e-mail with an optional name. A name with signs that separate e-mails must be quoted (RFC 5322, section 3.4). */
const SENDER = /^(?:(?:"[^"\\]*" |[^<>@,;:"\\]* )?<[^\s<>@,]+@[^\s<>@,]+>|[^\s<>@,]+@[^\s<>@,]+)$/

export const mailKinds = Object.keys(english).filter((key) => key !== FRAME) as MailKind[] // the type has all kinds

/**
 * Checks the option `mail`. `localUrl` returns the URL at which this process listens, for links during development.
 * `events` are the events of the registration.
 * Throws `FST_USERS_INVALID_OPTION`, `FST_USERS_UNKNOWN_OPTION`.
 */
export function readMailOptions (
  given: MailOptions | 'console',
  settings: Pick<Settings, 'publicUrl' | 'schemas'>,
  localUrl: () => string,
  events: readonly EventName[]
): MailSettings {
  const options: MailOptions = given === 'console' ? { send: 'console' } : given
  checkOption('mail', options, isObject, "must be an object with send and from, or 'console'")
  checkKnownKeys('mail.', options, Object.keys(KEYS))
  const { publicUrl } = settings
  const send = readSend(options)
  const isConsole = send === null
  const baseUrl = publicUrl === null ? (isConsole ? localUrl : null) : () => publicUrl
  const languages = readLanguages(options.languages ?? {})
  return {
    send,
    from: readSender(options.from ?? (isConsole ? 'no-reply@localhost' : undefined)),
    link: readUrls(options.urls ?? {}, baseUrl, events),
    service: readService(options.service, publicUrl, isConsole),
    languages,
    language: readLanguage(options.language ?? 'en', languages),
    languageOf: readLanguageOf(options.languageOf, settings),
    templates: readTemplates(options.templates ?? {}),
    requestVerification: checkBoolean('mail.requestVerification', options.requestVerification, true),
    timeoutMs: checkTimeLimit('mail.timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT)
  }
}

/** Tokens in a log or on a page would give access to accounts, so production refuses `console`. */
function readSend ({ send }: MailOptions): SendMail | null {
  if (send !== 'console') {
    return checkOption('mail.send', send, isFunction, "must be a function that sends a mail, or 'console'")
  }
  if (process.env.NODE_ENV === 'production') {
    throw FST_USERS_INVALID_OPTION([
      'mail.send',
      "must not be 'console' when NODE_ENV is production: the log would contain tokens; pass a function that sends mails"
    ])
  }
  return null
}

function readSender (from: unknown): string {
  const isSender = (text: unknown): boolean =>
    typeof text === 'string' && SENDER.test(text) && oneLine(text) === text
  return checkOption('mail.from', from, isSender, 'must be an e-mail with an optional name, such as Camelot <no-reply@camelot.example>') as string
}

function readService (given: unknown, publicUrl: string | null, isConsole: boolean): string {
  const service = given ?? (publicUrl === null ? (isConsole ? 'localhost' : undefined) : new URL(publicUrl).host)
  const isText = (text: unknown): boolean => typeof text === 'string' && text !== '' && oneLine(text) === text
  return checkOption('mail.service', service, isText, 'must be the name of the service, as one line of text') as string
}

function readLanguages (given: Readonly<Record<string, MailLanguage>>): MailSettings['languages'] {
  checkObject('mail.languages', given)
  for (const [tag, texts] of Object.entries(given)) checkLanguage(tag, texts)
  const all = { en: english, de: german, ...given }
  return new Map(Object.entries(all).map(([tag, texts]) => [tag.toLowerCase(), { tag, texts }]))
}

/** Checks that a language has a well-formed tag (BCP 47) and all texts. */
function checkLanguage (tag: string, texts: unknown): void {
  const option = `mail.languages["${tag}"]`
  try {
    Intl.getCanonicalLocales(tag)
  } catch {
    throw FST_USERS_INVALID_OPTION([option, 'must have a language tag as its key, such as fr or pt-BR'])
  }
  const given: Partial<Record<string, unknown>> = isObject(texts) ? texts : {}
  const frame = given[FRAME]
  const hasFrame = isObject(frame) && typeof frame['linkHint'] === 'string' && isFunction(frame['footer'])
  const missing = [...(hasFrame ? [] : [FRAME]), ...mailKinds.filter((kind) => !isFunction(given[kind]))]
  if (missing.length > 0) throw FST_USERS_INVALID_OPTION([option, `lacks ${missing.join(', ')}`])
}

function readLanguage (language: string, languages: MailSettings['languages']): string {
  const isKnown = (tag: unknown): boolean => typeof tag === 'string' && languages.has(tag.toLowerCase())
  return checkOption('mail.language', language, isKnown, `must be one of ${[...languages.keys()].join(', ')}`)
}

function readLanguageOf (
  given: MailOptions['languageOf'],
  { schemas }: Pick<Settings, 'schemas'>
): MailSettings['languageOf'] {
  if (given === undefined) return null
  const isValid = (value: unknown): boolean => isFunction(value) || (typeof value === 'string' && value in schemas.fields)
  return checkOption('mail.languageOf', given, isValid, 'must be the name of a custom field, or a function')
}

function readTemplates (templates: MailTemplates): MailTemplates {
  checkKnownKeys('mail.templates.', templates, mailKinds)
  for (const [kind, template] of Object.entries(templates)) {
    checkOption(
      `mail.templates.${kind}`,
      template as unknown,
      (value) => value === undefined || value === false || isFunction(value),
      'must be a function that returns the content of the mail, or false'
    )
  }
  return templates
}
