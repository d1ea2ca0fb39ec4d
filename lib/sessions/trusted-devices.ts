import type { FastifyRequest } from 'fastify'
import type { AuditLog } from '../contracts/audit.js'
import type { Backend } from '../contracts/backend.js'
import type { DatabaseAdapter, Row } from '../contracts/database-adapter.js'
import type { EventContext } from '../contracts/events.js'
import type { LoginAttempt } from '../contracts/login-step.js'
import type { SecondFactorSettings, TrustedDevice } from '../contracts/second-factors.js'
import type { Session } from '../contracts/session.js'
import type { User, UserRow } from '../contracts/user.js'
import { FST_USERS_INVALID_OPTION } from '../errors.js'
import { generateSessionId } from '../tokens/index.js'
import { createHostCookie, type BrowserCookie, type HostCookieParts } from './browser-cookie.js'
import { MAX_USER_AGENT, trustedDeviceModel as model } from './trusted-device-model.js'
import type { SessionRules } from './session-rules.js'

/** The settings of trusted devices. */
export type TrustedDeviceSettings = NonNullable<SecondFactorSettings['trustedDevices']>

/** The services that trusted devices need. */
export interface TrustedDeviceParts extends HostCookieParts {
  readonly store: DatabaseAdapter
  readonly audit: Pick<AuditLog, 'emit'>
  readonly rows: Pick<SessionRules['rows'], 'stampOf' | 'hasStamp' | 'toUser'>
}

/** A login that has succeeded. */
export interface TrustingLogin {
  readonly row: UserRow
  readonly backend: Backend
  /** The user asked to trust the device. */
  readonly trustsDevice: boolean
  readonly context: EventContext
}

/** Browsers that skip the second factor of one user. */
export interface TrustedDevices {
  /** Returns true if the browser of a login is trusted. It is read once per attempt. */
  isTrusted(attempt: LoginAttempt, backend: Backend): Promise<boolean>
  /**
   * Records a login: trusts its browser with a new cookie if the user asked for it, or stores the use of a trusted
   * device. Returns false if the browser has lost its trust during the login.
   */
  recordLogin(login: TrustingLogin, attempt: LoginAttempt, session: Session): Promise<boolean>
  /** Returns the trusted devices of a user, the newest first. `request` decides which one is the current one. */
  list(row: UserRow, request: FastifyRequest | null): Promise<TrustedDevice[]>
  /** Ends the trust in all browsers of a user, or in one. Returns the number of these browsers. */
  end(user: Pick<User, 'id'>, which?: { id: string } | { session_id: string }): Promise<number>
}

/** Creates the functions for trusted devices. Only backends with cookies have them. */
export function createTrustedDevices (parts: TrustedDeviceParts, options: TrustedDeviceSettings): TrustedDevices {
  const { store, rows, settings: { clock } } = parts
  const { lifetimeSeconds, maxPerUser } = options
  const found = new WeakMap<LoginAttempt, Promise<Row | null>>()
  const isValid = (row: UserRow, { stamp, expires_at: expires }: Row): boolean =>
    rows.hasStamp(row, String(stamp)) && (expires as Date).getTime() > clock()

  async function find ({ user, backend: name, request }: LoginAttempt, backend: Backend): Promise<Row | null> {
    const cookie = cookieOf(parts, backend, lifetimeSeconds)
    const hash = request === null || !backend.transport.ambient ? null : cookie.digestOf(request)
    if (hash === null || !(await isAllowed(parts, options, user, name))) return null
    const device = await store.findOne(model, { hash, user_id: String(user.id) })
    return device !== null && isValid(user, device) ? device : null
  }

  return {
    async isTrusted (attempt, backend) {
      const known = found.get(attempt) ?? find(attempt, backend)
      found.set(attempt, known)
      return (await known) !== null
    },

    async recordLogin (login, attempt, session) {
      if (login.trustsDevice) await addDevice(parts, options, login, session)
      const used = login.trustsDevice ? null : await found.get(attempt)
      if (used == null) return true
      const changes = { used_at: new Date(clock()), session_id: session.id }
      return (await store.update(model, { id: String(used['id']) }, changes)) === 1
    },

    async list (row, request) {
      const stored = await store.findMany(model, { user_id: String(row.id) }, { limit: maxPerUser * 2 })
      const current = request === null ? null : currentDigests(parts, request, lifetimeSeconds)
      return stored
        .filter((device) => isValid(row, device))
        .sort((a, b) => createdTimeOf(b) - createdTimeOf(a))
        .map((device) => toTrustedDevice(device, current?.has(String(device['hash'])) === true))
    },

    async end ({ id: user }, which) {
      return await store.delete(model, { user_id: String(user), ...which })
    }
  }
}

/** Stores the browser of a login under a new cookie. The oldest browsers above the maximum are deleted. */
async function addDevice (
  parts: TrustedDeviceParts,
  options: TrustedDeviceSettings,
  { row, backend, context }: TrustingLogin,
  session: Session
): Promise<void> {
  const { store, rows, audit, settings: { clock } } = parts
  const { lifetimeSeconds, maxPerUser } = options
  const { request, reply } = context
  if (request === null || reply === null || !(await isAllowed(parts, options, row, backend.name))) return
  const userId = String(row.id)
  const now = new Date(clock())
  const known = await store.findMany(model, { user_id: userId }, { limit: maxPerUser * 2 })
  const surplus = known.sort((a, b) => createdTimeOf(b) - createdTimeOf(a)).slice(maxPerUser - 1)
  for (const { id } of surplus) await store.delete(model, { id: String(id) })
  const cookie = cookieOf(parts, backend, lifetimeSeconds)
  const former = cookie.digestOf(request)
  if (former !== null) await store.delete(model, { hash: former, user_id: userId })
  await store.create(model, {
    id: generateSessionId(),
    user_id: userId,
    // an attacker may have set the value that the browser presents
    hash: cookie.setNew(reply),
    stamp: rows.stampOf(row),
    session_id: session.id,
    user_agent: request.headers['user-agent']?.slice(0, MAX_USER_AGENT) ?? null,
    created_at: now,
    used_at: now,
    expires_at: new Date(now.getTime() + lifetimeSeconds * 1000)
  })
  audit.emit({ event: 'device.trust', user: rows.toUser(row), backend: backend.name }, context)
}

function toTrustedDevice (row: Row, isCurrent: boolean): TrustedDevice {
  return {
    id: String(row['id']),
    createdAt: row['created_at'] as Date,
    lastUsedAt: row['used_at'] as Date,
    expiresAt: row['expires_at'] as Date,
    userAgent: row['user_agent'] as string | null,
    isCurrent
  }
}

function createdTimeOf ({ created_at: created }: Row): number {
  return (created as Date).getTime()
}

/** Returns true if the option accepts trusted devices of the user. Any value except true and false is a mistake. */
async function isAllowed (
  { rows }: TrustedDeviceParts,
  { allowed }: TrustedDeviceSettings,
  row: UserRow,
  backend: string
): Promise<boolean> {
  const answer: unknown = allowed === null ? true : await allowed({ user: rows.toUser(row), backend })
  if (typeof answer === 'boolean') return answer
  throw FST_USERS_INVALID_OPTION(['secondFactors.trustedDevices.allowed', 'must return true or false'])
}

function cookieOf (parts: HostCookieParts, { transport }: Backend, maxAge: number): BrowserCookie {
  return createHostCookie(parts, transport, 'trusted', maxAge)
}

/** Returns the digests of the cookies of a request, with and without the prefix `__Host-`. */
function currentDigests (parts: HostCookieParts, request: FastifyRequest, maxAge: number): ReadonlySet<string> {
  const digests = [true, false].map((secure) => createHostCookie(parts, { secure }, 'trusted', maxAge).digestOf(request))
  return new Set(digests.filter((digest) => digest !== null))
}
