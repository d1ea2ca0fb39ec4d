import type { EventName } from '../contracts/events.js'
import type { MailUrls } from '../contracts/mail.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { checkKnownKeys, parseHttpUrl } from '../shared/option-checks.js'

/** Returns the URL of a page, with the token in its query or fragment. */
export type CreateLink = (page: keyof MailUrls, token?: string) => string

const TOKEN = '{token}'

const DEFAULTS: Omit<MailUrls, 'emailChange'> = {
  verify: `/verify#${TOKEN}`,
  resetPassword: `/reset-password#${TOKEN}`,
  register: `/register#${TOKEN}`,
  undoEmailChange: `/undo-email-change#${TOKEN}`,
  undoDeletion: `/undo-deletion#${TOKEN}`,
  emailLogin: `/email-login#${TOKEN}`,
  login: '/login',
  forgotPassword: '/forgot-password'
}

/** Pages to which only mails of a feature link, with the event that causes the mail. */
const OF_FEATURES: Readonly<Record<string, EventName>> = {
  undoDeletion: 'onAfterRequestDeletion',
  emailLogin: 'onAfterRequestEmailLogin'
}

const WITHOUT_TOKEN: readonly string[] = ['login', 'forgotPassword']

/**
 * Checks the URLs of the pages. `baseUrl` returns the URL to which paths are appended; it is null if there is none.
 * Links never depend on a request, whose `Host` header its sender chooses. `events` are the events of the registration:
 * pages of features that it lacks need no URL. Throws `FST_USERS_INVALID_OPTION`,
 * `FST_USERS_UNKNOWN_OPTION`.
 */
export function readUrls (
  given: Partial<MailUrls>,
  baseUrl: (() => string) | null,
  events: readonly EventName[]
): CreateLink {
  checkKnownKeys('mail.urls.', given, [...Object.keys(DEFAULTS), 'emailChange'])
  const pages: MailUrls = { ...DEFAULTS, emailChange: given.verify ?? DEFAULTS.verify, ...given }
  for (const [name, url] of Object.entries(pages)) {
    const event = OF_FEATURES[name]
    const isUsed = name in given || event === undefined || events.includes(event)
    if (isUsed) checkMailUrl(name, url, baseUrl !== null)
  }
  return (page, token = '') => {
    const url = pages[page].replaceAll(TOKEN, encodeURIComponent(token))
    return url.startsWith('/') && baseUrl !== null ? baseUrl() + url : url
  }
}

function checkMailUrl (name: string, url: unknown, hasBase: boolean): void {
  const option = `mail.urls.${name}`
  const text = typeof url === 'string' ? url : ''
  if (!text.startsWith('/') || text.startsWith('//')) parseHttpUrl(option, text)
  else if (!hasBase) throw FST_USERS_INVALID_OPTION([option, `is the path ${text}; set publicUrl, to which it is appended, or an absolute URL`])
  const [page = '', ...rest] = text.split(/[?#]/)
  const isRight = WITHOUT_TOKEN.includes(name)
    ? !text.includes(TOKEN)
    : !page.includes(TOKEN) && rest.join('').includes(TOKEN)
  if (isRight) return
  throw FST_USERS_INVALID_OPTION([
    option,
    WITHOUT_TOKEN.includes(name) ? `must not contain ${TOKEN}` : `must contain ${TOKEN} after # or ?, such as /verify#${TOKEN}`
  ])
}
