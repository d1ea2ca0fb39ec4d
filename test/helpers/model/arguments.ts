// The arguments of commands. They are drawn before the run, so they name sessions, accounts and mails by position;
// `pick…` finds them in the model, and `describe…` describes them in the report of a failure.
import fc from 'fast-check'
import { BACKENDS, type Account, type AccountModel, type Mail, type ModelSession, type Purpose } from './account-model.js'
import { GOOD_PASSWORDS, SHORT_PASSWORD, type GuardFlags } from './account-rules.js'

/** The guarded routes of the application, and the plugin's own, with the flags of their guards. */
export const GUARDED: Readonly<Record<string, GuardFlags & { optional?: boolean }>> = {
  '/users/me': {},
  '/guarded': {},
  '/verified': { verified: true },
  '/superuser': { superuser: true },
  '/verified-superuser': { verified: true, superuser: true },
  '/cookie': { backends: ['cookie'] },
  '/optional': { optional: true }
}

const LOCAL_PARTS = ['arthur', 'lancelot', 'mordred', 'morgana', 'galahad', 'gawain', 'percival', 'tristan']
export const backend = fc.constantFrom(...BACKENDS)
export const position = fc.nat(5)
const goodPassword = fc.constantFrom(...GOOD_PASSWORDS)
export const newPassword = fc.oneof({ weight: 8, arbitrary: goodPassword }, fc.constant(SHORT_PASSWORD))
export const anyEmail = fc
  .record({ local: fc.constantFrom(...LOCAL_PARTS), isUpper: fc.boolean() })
  .map(({ local, isUpper }) => emailOf(local, isUpper))
/** An e-mail that an account has, in one of two spellings, or any other. */
export const knownEmail = fc.oneof(
  { weight: 5, arbitrary: fc.record({ account: fc.oneof(position, fc.constant(0)), isUpper: fc.boolean() }) },
  { weight: 1, arbitrary: anyEmail }
)
/** Sessions that a request presents: at most one per header. */
const session = fc.record({ kind: fc.constantFrom('living', 'living', 'any'), position })
export const presented = fc.oneof(
  { weight: 7, arbitrary: fc.tuple(session) },
  { weight: 2, arbitrary: fc.tuple(session, session) },
  { weight: 1, arbitrary: fc.tuple() }
)
export const bySuperuser = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.record({ kind: fc.constant('superuser' as const), position })) },
  { weight: 1, arbitrary: presented }
)
export const mail = fc.record({ isUsable: fc.boolean(), position })
const flag = fc.boolean()
export const changes = fc.record(
  {
    email: anyEmail,
    password: newPassword,
    is_active: flag,
    is_verified: flag,
    is_superuser: flag
  },
  { requiredKeys: [] }
)
/** The password that a user enters as the current one: the right one, another one, or none. */
export const currentPassword = fc.oneof(
  { weight: 4, arbitrary: fc.constant('right' as const) },
  { weight: 1, arbitrary: fc.option(goodPassword, { nil: undefined }) }
)

interface PickedSession {
  readonly kind: 'living' | 'any' | 'superuser'
  readonly position: number
}

export function emailOf (local: string, isUpper = false): string {
  return isUpper ? `${local}@camelot.bt`.toUpperCase() : `${local}@camelot.bt`
}

/** Returns an entry of a list that is not empty. */
export function at<T> (list: readonly T[], index: number): T {
  const found = list[index % list.length]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

/** Returns at most one session per header: one cookie, and one token in `Authorization`. */
export function pickSessions (model: AccountModel, picks: readonly PickedSession[]): ModelSession[] {
  const picked: ModelSession[] = []
  const newestFirst = model.sessions.toReversed()
  for (const { kind, position: index } of picks) {
    const free = newestFirst.filter(
      (session) => !picked.some((other) => (other.backend === 'cookie') === (session.backend === 'cookie'))
    )
    const living = free.filter((session) => model.isAlive(session))
    const matching = kind === 'superuser' ? living.filter(({ account }) => account.isSuperuser) : living
    const candidates = kind === 'any' || matching.length === 0 ? free : matching
    if (candidates.length > 0) picked.push(at(candidates, index))
  }
  return picked
}

/** Returns a mail, if possible a usable one for one of the purposes. */
export function pickMail (
  model: AccountModel,
  { isUsable, position: index }: { isUsable: boolean; position: number },
  purposes: readonly Purpose[]
): Mail {
  const newestFirst = model.mails.toReversed()
  const usable = newestFirst.filter(
    (one) => one.endedBy === null && !model.isExpired(one) && purposes.includes(one.purpose)
  )
  return at(isUsable && usable.length > 0 ? usable : newestFirst, index)
}

export function pickEmail (model: AccountModel, picked: string | { account: number; isUpper: boolean }): string {
  if (typeof picked === 'string') return picked
  const { email } = at(model.accounts, picked.account)
  return picked.isUpper ? email.toUpperCase() : email
}

export function describeAccount ({ email, isDeleted, isActive }: Account): string {
  return `${email}${isDeleted ? ' (deleted)' : isActive ? '' : ' (inactive)'}`
}

export function describeSessions (model: AccountModel, sessions: readonly ModelSession[]): string {
  const texts = sessions.map((session) => {
    const end = model.isAlive(session) ? '' : `, ended by ${session.endedBy ?? 'expiry'}`
    return `session ${model.sessions.indexOf(session)} (${session.account.email} at ${session.backend}${end})`
  })
  return texts.length === 0 ? 'anonymous' : texts.join(' and ')
}

export function describeMail (model: AccountModel, one: Mail): string {
  const end = one.endedBy === null ? (model.isExpired(one) ? ', expired' : '') : `, ended by ${one.endedBy}`
  return `${one.purpose} mail ${model.mails.indexOf(one)} (${one.account.email}${end})`
}
