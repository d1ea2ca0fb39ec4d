import type { FastifyRequest } from 'fastify'
import {
  defineStrategy,
  defineTransport,
  digestToken,
  FST_USERS_FORBIDDEN,
  isSameSecret,
  readBearerToken,
  type BackendDefaults,
  type DatabaseAdapter,
  type FeatureBackend,
  type MaybePromise,
  type Model,
  type Session,
  type Strategy,
  type StrategyDefinition,
  type TokenSubject,
  type TransportDefinition,
  type UserId,
  type UserReader,
  type UserRow
} from '../../feature/index.js'
import { isInRanges } from './ip-ranges.js'
import type { KeyFormat } from './key-format.js'
import { apiKeyModel, DIGEST_LABEL, splitList, type KeyRow } from './key-model.js'

const HEADER = 'x-api-key'
const LAST_USE_MS = 60_000

/** Returns the backend that identifies users by their API keys. */
export function apiKeyBackend (name: string, format: KeyFormat): FeatureBackend {
  return { name, transport: apiKeyTransport(), strategy: apiKeyStrategy(format), acceptedWith: ['scopes'] }
}

/** Reads keys from the headers `X-API-Key` and `Authorization: Bearer`. */
function apiKeyTransport (): TransportDefinition {
  return defineTransport({
    name: 'api-key',
    describe: () => ({ scheme: { type: 'apiKey', in: 'header', name: 'X-API-Key' }, login: {}, logout: {} }),
    setup: () => ({
      ambient: false,
      extractToken: readApiKey,
      requestHeaders: (token) => ({ [HEADER]: token }),
      sendLogin: (reply) => reply.code(204).send() // there is no login
    })
  })
}

/** Returns the key of a request; null if two headers have different keys. */
function readApiKey (request: FastifyRequest): string | null {
  const { [HEADER]: header } = request.headers
  const bearer = readBearerToken(request)
  if (header === undefined) return bearer
  return typeof header === 'string' && (bearer === null || bearer === header) ? header : null
}

function apiKeyStrategy (format: KeyFormat): StrategyDefinition {
  return defineStrategy({ name: 'api-key', setup: (_scope, defaults) => createStrategy(format, defaults) })
}

function createStrategy (format: KeyFormat, defaults: BackendDefaults): Strategy {
  const { settings, store, audit } = defaults
  const model = apiKeyModel(settings.schemas.id)
  const recordUse = createUseRecorder(defaults, model)

  function accept (
    id: string,
    token: string,
    request: FastifyRequest | null,
    found: FoundKey | null
  ): TokenSubject | null {
    const now = settings.clock()
    const reason = keyRefusalOf(token, request, found, now)
    if (reason === null && found !== null) {
      recordUse(found, now, request)
      return { row: found.user, session: () => keySessionOf(found.row) }
    }
    const user = reason === 'WRONG_KEY' ? null : (found?.user ?? null)
    const entry = { event: 'api_key.refuse', outcome: 'blocked', reason, user, backend: defaults.backend } as const
    audit.emit({ ...entry, details: { key: id } }, { request, reply: null })
    return null
  }

  return {
    description: { lifetimeSeconds: null, keys: [] },
    readToken (token, { request, users }) {
      const id = format.idOf(token)
      if (id === null) return null
      const found = findKey(store, model, id, users)
      if (found instanceof Promise) return found.then((read) => accept(id, token, request, read))
      return accept(id, token, request, found)
    },
    writeToken () {
      throw FST_USERS_FORBIDDEN() // no login creates an API key
    }
  }
}

/** Returns why a key is refused; null if it is accepted. */
function keyRefusalOf (
  token: string,
  request: FastifyRequest | null,
  found: FoundKey | null,
  now: number
): 'UNKNOWN_KEY' | 'WRONG_KEY' | 'EXPIRED' | 'WRONG_IP_ADDRESS' | null {
  if (found === null) return 'UNKNOWN_KEY'
  const { digest, expires_at: expires, ip_ranges: given } = found.row
  if (!isSameSecret(digest, digestToken(token, DIGEST_LABEL))) return 'WRONG_KEY'
  if (expires !== null && expires.getTime() <= now) return 'EXPIRED'
  const ranges = splitList(given)
  return ranges.length > 0 && (request === null || !isInRanges(request.ip, ranges)) ? 'WRONG_IP_ADDRESS' : null
}

interface FoundKey {
  row: KeyRow
  user: UserRow
}

/** Reads the key and its user in one round trip if the adapter can. */
function findKey (store: DatabaseAdapter, model: Model, id: string, users: UserReader): MaybePromise<FoundKey | null> {
  if (store.findWithUser === undefined) return findInTwoReads(store, model, id, users)
  // the rows have the fields of their models
  return store.findWithUser(model, { id }) as unknown as MaybePromise<FoundKey | null>
}

async function findInTwoReads (
  store: DatabaseAdapter,
  model: Model,
  id: string,
  users: UserReader
): Promise<FoundKey | null> {
  const row = await store.findOne(model, { id })
  const user = row && (await users.getRow(row['user_id'] as UserId))
  return row && user && { row: row as KeyRow, user }
}

/** The session of a request with a key. Guards and the application read the key's scopes from its details. */
function keySessionOf ({ id, name, scopes, created_at: createdAt }: KeyRow): Session {
  return { id, createdAt, authenticatedAt: null, methods: [], details: { api_key: name, scopes: splitList(scopes) } }
}

/**
 * Returns a function that stores the time of a use in the background, at most once per minute and key. The write
 * changes only this column, and only if no other process has written a later time: so the first use of a key is
 * reported once.
 */
function createUseRecorder (
  { store, background, audit, backend }: BackendDefaults,
  model: Model
): (found: FoundKey, now: number, request: FastifyRequest | null) => void {
  const pending = new Set<string>()
  return ({ row: { id, last_used_at: last }, user }, now, request) => {
    if ((last !== null && now - last.getTime() < LAST_USE_MS) || pending.has(id)) return
    pending.add(id)
    background(async () => {
      try {
        const changed = await store.update(model, { id, last_used_at: last }, { last_used_at: new Date(now) })
        if (last !== null || changed !== 1) return
        const entry = { event: 'api_key.first_use', user, actor: user, session: { id }, backend } as const
        audit.emit({ ...entry, details: { key: id } }, { request, reply: null })
      } finally {
        pending.delete(id)
      }
    })
  }
}
