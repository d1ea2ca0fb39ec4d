import {
  contextOf,
  digestToken,
  idOf,
  type AuditEntry,
  type CallContext,
  type DatabaseAdapter,
  type FeatureKit,
  type Model,
  type NewRow,
  type Row,
  type User,
  type UserId,
  type Where
} from '../../feature/index.js'
import type { ApiKeysApi, CreatedApiKey, NewApiKey } from './contracts.js'
import { FST_USERS_API_KEY_INVALID, FST_USERS_API_KEY_LIMIT_REACHED, FST_USERS_API_KEY_NOT_FOUND } from './errors.js'
import { findInvalidRange } from './ip-ranges.js'
import type { KeyFormat } from './key-format.js'
import {
  apiKeyModel,
  DIGEST_LABEL,
  NAME_MAX_LENGTH,
  RANGES_MAX_LENGTH,
  SCOPES_MAX_LENGTH,
  toApiKey,
  type KeyRow
} from './key-model.js'
import type { ApiKeysSettings } from './options.js'

const PAGE = 500

/** Creates the functions of the feature. */
export function createApiKeys (kit: FeatureKit, options: ApiKeysSettings, format: KeyFormat): ApiKeysApi {
  const { store, settings, clock } = kit
  const model = apiKeyModel(settings.schemas.id)

  async function find (where: Where): Promise<KeyRow> {
    const row = await store.findOne(model, where)
    if (row === null) throw FST_USERS_API_KEY_NOT_FOUND()
    return row as KeyRow
  }

  function audit (event: string, user: User, details: NonNullable<AuditEntry['details']>, context?: CallContext): void {
    kit.audit.emit({ event, user, details }, contextOf(context))
  }

  return {
    pattern: format.pattern,

    async create (user, values, context) {
      const { row, key } = newKey(options, format, values, clock())
      const others = await store.findMany(model, { user_id: user.id }, { limit: options.maxKeys })
      if (others.length >= options.maxKeys) throw FST_USERS_API_KEY_LIMIT_REACHED()
      const stored = await store.create(model, { ...row, user_id: user.id, is_service: false })
      audit('api_key.create', user, { key: row.id, scopes: row.scopes }, context)
      return toCreatedKey(stored, key)
    },

    list: async (user) => (await findAllKeys(store, model, { user_id: user.id })).map(toApiKey),

    async rename (user, id, name) {
      checkKeyName(name)
      const where = { id, user_id: user.id }
      await store.update(model, where, { name })
      return toApiKey(await find(where))
    },

    async revoke (user, id, context) {
      if ((await store.delete(model, { id, user_id: user.id })) === 0) throw FST_USERS_API_KEY_NOT_FOUND()
      audit('api_key.revoke', user, { key: id }, context)
    },

    async revokeAll (user) {
      const keys = await store.delete(model, { user_id: user.id })
      if (keys > 0) audit('api_key.revoke', user, { keys })
      return keys
    },

    async createService (values, fields = {}, context) {
      const { row, key } = newKey(options, format, values, clock())
      const dependent: NewRow = [model, { ...row, user_id: idOf(0), is_service: true }]
      const stored = await kit.externalUsers.createService(fields, { rows: [dependent] })
      const [user, service] = stored ?? []
      // null stands for a second key with the same random id
      if (user === undefined || service === undefined) throw FST_USERS_API_KEY_INVALID(['its random id exists already. Try again'])
      audit('api_key.create', kit.rows.toUser(user), { key: row.id, scopes: row.scopes }, context)
      return { ...toCreatedKey(service, key), user_id: user.id }
    },

    async listServices () {
      const rows = await findAllKeys(store, model, { is_service: true })
      return rows.map((row) => ({ ...toApiKey(row), user_id: row.user_id }))
    },

    async removeService (id, context) {
      const { user_id: userId } = await find({ id, is_service: true })
      const account = await kit.rows.getRow(userId as UserId) // the type of the id depends on the application
      await store.delete(model, { id })
      if (account !== null) audit('api_key.revoke', kit.rows.toUser(account), { key: id }, context)
      await kit.users.delete(userId as User['id'])
    }
  }
}

function toCreatedKey (row: Row, key: string): CreatedApiKey {
  return { ...toApiKey(row as KeyRow), key }
}

/** Returns the row of a new key, and the key. Throws `FST_USERS_API_KEY_INVALID`. */
function newKey (
  { scopes: known, maxLifetimeSeconds }: ApiKeysSettings,
  format: KeyFormat,
  { name, scopes, expires_at: expiresAt = null, ip_ranges: ranges = [] }: NewApiKey,
  now: number
): { row: Row & { id: string; scopes: string }; key: string } {
  checkKeyName(name)
  const unknown = scopes.find((scope) => !known.includes(scope))
  if (unknown !== undefined) throw invalidKeyValue(`the scope "${unknown}" does not exist`)
  if (scopes.join(' ').length > SCOPES_MAX_LENGTH) throw invalidKeyValue('it has too many scopes')
  const range = findInvalidRange(ranges)
  if (range !== null) throw invalidKeyValue(`"${range}" is not an IP address or a CIDR range`)
  if (ranges.join(' ').length > RANGES_MAX_LENGTH) throw invalidKeyValue('it has too many IP ranges')
  const latest = maxLifetimeSeconds === null ? null : new Date(now + maxLifetimeSeconds * 1000)
  if (expiresAt !== null && !(expiresAt.getTime() > now)) throw invalidKeyValue('`expires_at` is not in the future')
  if (latest !== null && expiresAt !== null && expiresAt > latest) {
    throw invalidKeyValue(`it would expire after ${latest.toISOString()}`)
  }
  const { id, key } = format.generate()
  const row = {
    id,
    name,
    digest: digestToken(key, DIGEST_LABEL),
    last_four: key.slice(-4),
    scopes: [...new Set(scopes)].join(' '),
    ip_ranges: ranges.length === 0 ? null : ranges.join(' '),
    created_at: new Date(now),
    expires_at: expiresAt ?? latest,
    last_used_at: null
  }
  return { row, key }
}

function checkKeyName (name: string): void {
  const isValid = typeof name === 'string' && name.trim() !== '' && name.length <= NAME_MAX_LENGTH && name.isWellFormed()
  if (!isValid) throw invalidKeyValue(`the name must have 1 to ${NAME_MAX_LENGTH} characters`)
}

function invalidKeyValue (reason: string): Error {
  return FST_USERS_API_KEY_INVALID([reason])
}

async function findAllKeys (store: DatabaseAdapter, model: Model, where: Where): Promise<KeyRow[]> {
  const rows: Row[] = []
  let page: Row[] = []
  do {
    const last = page.at(-1)
    page = await store.findMany(model, where, { limit: PAGE, ...(last === undefined ? {} : { after: last }) })
    rows.push(...page)
  } while (page.length === PAGE)
  return rows as KeyRow[]
}
