import { FST_USERS_INVALID_OPTION } from '../../errors.js'
import { isFunction, isObject } from '../../shared/values.js'

/** A field of a model in the data model of a client. */
export interface PrismaField {
  readonly name: string
  readonly kind: string
  readonly type: string
  readonly dbName?: string | null
}

/** A model in the data model of a client. */
export interface PrismaModel {
  readonly dbName?: string | null
  readonly schema?: string | null
  readonly fields: readonly PrismaField[]
}

/** Used methods of a client and of its interactive transactions. */
export interface PrismaQueries {
  $queryRawUnsafe(sql: string, ...values: unknown[]): PromiseLike<unknown>
  $executeRawUnsafe(sql: string, ...values: unknown[]): PromiseLike<number>
}

/** The methods of a `PrismaClient`. Declared here, so that applications without Prisma do not need its types. */
export interface PrismaInstance extends PrismaQueries {
  $connect(): Promise<void>
}

/** A client with the method for interactive transactions. The type of their argument depends on the models. */
export interface PrismaTransactions extends PrismaQueries {
  $transaction<T>(
    work: (transaction: PrismaQueries) => Promise<T>,
    options: { maxWait: number; timeout: number }
  ): Promise<T>
}

/** The databases that the adapter can use through Prisma. */
export type PrismaDatabase = 'postgres' | 'mysql' | 'sqlite'

/** Properties of a client that its types do not contain. */
interface ClientInternals {
  readonly _activeProvider?: unknown
  readonly _runtimeDataModel?: { readonly models?: Readonly<Record<string, PrismaModel>> }
}

const providers: ReadonlyMap<unknown, PrismaDatabase> = new Map([
  ['postgresql', 'postgres'],
  ['postgres', 'postgres'],
  ['mysql', 'mysql'],
  ['sqlite', 'sqlite']
])

/** The data that the adapter reads from a client. */
export interface PrismaDescription {
  readonly client: PrismaTransactions
  readonly database: PrismaDatabase
  readonly models: Readonly<Record<string, PrismaModel>>
}

/**
 * Returns the database and the data model of a client. Throws `FST_USERS_INVALID_OPTION` for other values, for
 * transactions, and for clients of other databases.
 */
export function describeClient (client: unknown): PrismaDescription {
  const { _activeProvider: provider, _runtimeDataModel: model } = (isObject(client) ? client : {}) as ClientInternals
  if (!hasQueries(client) || !('$connect' in client) || !isObject(model?.models)) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'pass to prisma() a PrismaClient of Prisma 7 that is not a transaction'])
  }
  const database = providers.get(provider)
  if (database === undefined) {
    throw FST_USERS_INVALID_OPTION(['adapter', 'prisma() needs a client for PostgreSQL, MySQL or SQLite'])
  }
  return {
    client: client as unknown as PrismaTransactions, // every client has this method
    database,
    models: model.models as Readonly<Record<string, PrismaModel>> // generated clients have this form
  }
}

/** Returns an interactive transaction of Prisma. Throws `FST_USERS_INVALID_OPTION` for other values. */
export function prismaTransactionOf (value: unknown, database: PrismaDatabase): PrismaQueries {
  const isTransaction = hasQueries(value) && !('$connect' in value)
  if (!isTransaction || providers.get((value as ClientInternals)._activeProvider) !== database) {
    throw FST_USERS_INVALID_OPTION([
      'transaction',
      'must be the argument that `$transaction` of Prisma passes to its callback'
    ])
  }
  return value
}

function hasQueries (value: unknown): value is PrismaQueries {
  // a client is a proxy, which may be a function
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const { $queryRawUnsafe, $executeRawUnsafe } = value as Partial<PrismaQueries>
  return isFunction($queryRawUnsafe) && isFunction($executeRawUnsafe)
}
