import type {
  Changes,
  DatabaseAdapter,
  Dependents,
  FindManyOptions,
  MaybePromise,
  Row,
  StoredRows,
  Where
} from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_NOT_READY, FST_USERS_TABLE_MISMATCH } from '../../errors.js'
import { checkKeys } from '../shared/check-keys.js'
import { claimStorageNames } from '../shared/claims.js'
import { misuse } from '../shared/errors.js'
import { ModelRegistry, userModelOf } from '../shared/model-registry.js'
import { checkTimeLimit } from '../shared/time-limit.js'
import { isUnreachable } from '../shared/unreachable.js'
import { incrementOf } from '../shared/values.js'
import type { Dialect } from './dialects/dialect.js'
import type { SqlDriver, SqlStatement } from './drivers/driver.js'
import { decodeRow, encodeComparison, encodeValue } from './encoder.js'
import { recordVersionStatements } from './migration/schema-version.js'
import { checkMappings, storageNamesOf, planTables, type TableMappings } from './schema.js'
import { Shape, shapeOf } from './shape.js'
import * as sql from './statements.js'
import { type Column, columnOf, type FoundTable, type Table } from './table.js'
import { constraintMismatches } from './table-check.js'
import { insertOf, insertWith, run } from './writes.js'

/** Options of every SQL adapter. */
export interface SqlAdapterOptions {
  /** Names of adopted tables, by model name: the table's own, and its columns' by field. */
  tables?: TableMappings
}

/** Options of the SQL adapters of servers. */
export interface SqlServerOptions extends SqlAdapterOptions {
  /** Whether `open()` makes the tables that are missing, for development and tests (default: it refuses to start). */
  createTables?: boolean
  /**
   * Milliseconds that one statement may take, waiting for a connection of the pool included (default 5000); then the
   * connection is closed and the request answered 503. A write that was given up may have been done or not.
   */
  timeoutMs?: number
}

/** How an adapter reaches its database. */
export interface SqlConnection {
  readonly dialect: Dialect
  /** The application's own pool or database; undefined for one that the adapter opens itself. */
  readonly client?: object | undefined
  /** Names of options that only this kind of adapter has. */
  readonly options?: readonly string[]
  /** Called by `open`, with the time limit of a statement in milliseconds. */
  readonly connect: (timeoutMs: number) => MaybePromise<SqlDriver>
}

/** Creates the adapter of an embedded database. */
export function sqlAdapter (connection: SqlConnection, options: SqlAdapterOptions = {}): DatabaseAdapter {
  return new SqlAdapter(connection, options, { known: ['tables'], creates: true, timeoutMs: DEFAULT_TIMEOUT_MS })
}

/** Creates the adapter of a server. Throws `FST_USERS_INVALID_OPTION`. */
export function sqlServerAdapter (connection: SqlConnection, options: SqlServerOptions): DatabaseAdapter {
  const { createTables = false, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  if (typeof createTables !== 'boolean') throw FST_USERS_INVALID_OPTION(['createTables', 'must be true or false'])
  checkTimeLimit('timeoutMs', timeoutMs)
  return new SqlAdapter(connection, options, {
    known: ['tables', 'createTables', 'timeoutMs', ...(connection.options ?? [])],
    creates: createTables,
    timeoutMs
  })
}

const DEFAULT_TIMEOUT_MS = 5000

/** What the kind of adapter decides. */
interface SqlSettings {
  /** Names of its options. */
  readonly known: readonly string[]
  /** Whether `open` makes missing tables. */
  readonly creates: boolean
  readonly timeoutMs: number
}

type Rows = readonly (readonly unknown[])[]

class SqlAdapter implements DatabaseAdapter {
  readonly #models = new ModelRegistry()
  readonly #connection: SqlConnection
  readonly #options: SqlAdapterOptions
  readonly #settings: SqlSettings
  readonly #shapes = new Map<string, Shape>()
  #driver: SqlDriver | undefined
  #release: (() => void) | undefined

  constructor (connection: SqlConnection, options: SqlAdapterOptions, settings: SqlSettings) {
    this.#connection = connection
    this.#options = options
    this.#settings = settings
  }

  define (model: Model): void {
    this.#models.define(model)
  }

  async open (): Promise<void> {
    const mappings = this.#options.tables ?? {}
    const models = this.#models.all
    const { dialect, connect } = this.#connection
    const { known, creates, timeoutMs } = this.#settings
    checkKeys('', this.#options, known)
    checkMappings(dialect, models, mappings)
    this.#claim(models, mappings)
    const driver = (this.#driver ??= await connect(timeoutMs))
    let tables = new Map<string, Table>()
    let found: ReadonlyMap<string, FoundTable> = new Map()
    let used = driver
    try {
      await driver.change(dialect.catalog, (catalog) => {
        const plan = planTables(dialect, models, mappings, catalog)
        tables = plan.tables
        found = plan.found
        const statements = [...recordVersionStatements(dialect, plan.missing, plan.found), ...plan.statements]
        if (!creates && plan.missing.length > 0) throw missingTables(plan.missing, statements)
        return statements
      })
      await checkConstraints(driver, tables, found)
      if (needsUtc(dialect, tables)) used = (await driver.inUtc?.()) ?? driver
    } catch (error) {
      if (this.#shapes.size === 0) await this.close() // else somebody else uses it already
      throw error
    }
    for (const [name, table] of tables) this.#shapes.set(name, new Shape(table, used))
  }

  async create (model: Model, row: Row): Promise<Row> {
    const root = this.#root(model.name)
    const { table } = root
    const { columns, parameters, stored } = insertOf(table, row)
    const statement = root.statement(`insert ${columns.length}`, () => sql.insertSql(table, columns))
    const { insertId } = await run(table, statement, parameters)
    return stored(insertId)
  }

  async createWith (model: Model, row: Row, dependents: Dependents): Promise<StoredRows> {
    const { driver } = this.#root(model.name)
    return await insertWith(driver, ({ name }) => this.#root(name).table, [model, row], dependents)
  }

  findOne (model: Model, where: Where): MaybePromise<Row | null> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    for (const position of shape.exact) parameters.push(parameters[position])
    const statement = shape.statement('one', () => sql.selectOneSql(shape))
    return then(first(shape.table, statement, parameters), (values) =>
      values === undefined ? null : decodeRow(shape.table, values)
    )
  }

  findWithUser (model: Model, where: Where): MaybePromise<{ row: Row; user: Row } | null> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    for (const position of shape.exact) parameters.push(parameters[position])
    const { table } = shape
    const { table: users } = this.#root(userModelOf(model))
    const statement = shape.statement('user', () => sql.selectWithUserSql(shape, users))
    return then(statement.get(parameters), (values) =>
      values === undefined
        ? null
        : { row: decodeRow(table, values), user: decodeRow(users, values, table.columns.length) }
    )
  }

  async findMany (model: Model, where: Where, { limit, order, after }: FindManyOptions): Promise<Row[]> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    const { table } = shape
    const sort = order ?? table.primaryKey.field
    const column = columnOf(table, sort)
    if (column === undefined || column.definition.type === 'json') throw misuse(model.name, sort, 'has no order')
    if (!Number.isSafeInteger(limit) || limit < 0) throw misuse(model.name, '', '`limit` must be an integer')
    const start = after === undefined ? 'start' : pushAfter(table, column, after, parameters)
    const statement = shape.statement(`many ${column.field} ${start}`, () =>
      sql.selectManySql(shape, { column, after: start })
    )
    return (await statement.all([...parameters, limit])).map((values) => decodeRow(table, values))
  }

  async update (model: Model, where: Where, changes: Changes): Promise<number> {
    const root = this.#root(model.name)
    const { table } = root
    const parameters: unknown[] = []
    const assignments = assign(table, changes, parameters)
    const shape = shapeOf(root, where, parameters)
    if (assignments.length === 0) {
      const counted = await shape.statement('count', () => sql.countSql(shape)).get(parameters)
      return Number(counted?.[0])
    }
    const kind = assignments.map(({ column, increment }) => `${increment ? '+' : '='}${column.field}`).join(' ')
    const statement = shape.statement(kind, () => sql.updateSql(shape, assignments))
    return (await run(table, statement, parameters)).changes
  }

  async delete (model: Model, where: Where): Promise<number> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    const statement = shape.statement('delete', () => sql.deleteSql(shape))
    return (await run(shape.table, statement, parameters)).changes
  }

  async close (): Promise<void> {
    const driver = this.#driver
    this.#driver = undefined
    this.#shapes.clear()
    this.#release?.()
    this.#release = undefined
    await driver?.close()
  }

  /**
   * Notes which tables are used through the application's client. Throws `FST_USERS_INVALID_OPTION` for those of
   * another tenant.
   */
  #claim (models: readonly Model[], mappings: TableMappings): void {
    const { client, dialect } = this.#connection
    this.#release?.()
    this.#release = undefined
    if (client !== undefined) this.#release = claimStorageNames(client, 'tables', storageNamesOf(dialect, models, mappings))
  }

  #root (name: string): Shape {
    const root = this.#shapes.get(name)
    if (root !== undefined) return root
    this.#models.get(name)
    throw FST_USERS_NOT_READY()
  }
}

function needsUtc ({ isZoned }: Dialect, tables: ReadonlyMap<string, Table>): boolean {
  return (
    isZoned !== undefined &&
    [...tables.values()].some(({ columns }) =>
      columns.some(({ definition, type }) => definition.type === 'time' && type !== undefined && isZoned(type))
    )
  )
}

/** Throws `FST_USERS_TABLE_MISMATCH` for a table of another tool whose constraints refuse every new row. */
async function checkConstraints (
  driver: SqlDriver,
  tables: ReadonlyMap<string, Table>,
  found: ReadonlyMap<string, FoundTable>
): Promise<void> {
  const all = async (text: string): Promise<Rows> => await driver.prepare(text).all([])
  const attempt = (text: string): Promise<Rows | null> =>
    all(text).catch((error: unknown) => {
      if (isUnreachable(error)) throw error
      return null
    })
  for (const table of tables.values()) {
    const stored = found.get(table.dialect.foldName(table.name))
    const [mismatch] =
      stored === undefined ? [] : await constraintMismatches({ all, attempt }, { table, found: stored, tables })
    if (mismatch !== undefined) throw FST_USERS_TABLE_MISMATCH([table.name, mismatch])
  }
}

/** The error of a server without our tables. The statements are those that `createTables` runs. */
function missingTables (missing: readonly Table[], statements: readonly string[]): Error {
  const names = missing.map(({ name }) => name).join('", "')
  return FST_USERS_TABLE_MISMATCH([
    names,
    `the database has no such table; run \`npx fastify-users migrate\` or the statements below, or let \`createTables: true\` make it in development:\n${statements.join(';\n')};`
  ])
}

/** The first row, if there is one. */
function first (
  { dialect: { isUnknownLetter } }: Table,
  statement: SqlStatement,
  parameters: readonly unknown[]
): ReturnType<SqlStatement['get']> {
  const found = statement.get(parameters)
  if (isUnknownLetter === undefined || !(found instanceof Promise)) return found
  return found.catch((error: unknown) => {
    if (isUnknownLetter(error)) return undefined
    throw error
  })
}

/**
 * What to set, in column order, with the values appended to `parameters`. Columns that an adopted table lacks are left
 * out.
 */
function assign (table: Table, changes: Changes, parameters: unknown[]): sql.Assignment[] {
  for (const field in changes) columnOf(table, field)
  const assignments: sql.Assignment[] = []
  for (const column of table.columns) {
    const change: unknown = changes[column.field]
    if (change === undefined) continue
    const step = incrementOf(table.model, column.field, column.definition, column.accepts, change)
    assignments.push({ column, increment: step !== undefined })
    parameters.push(step ?? encodeValue(table, column, change))
  }
  return assignments
}

function pushAfter (table: Table, column: Column, after: Row, parameters: unknown[]): 'null' | 'value' {
  const { primaryKey } = table
  for (const { field } of [column, primaryKey]) {
    if (after[field] === undefined) throw misuse(table.model.name, field, '`after` lacks it')
  }
  const isNull = after[column.field] === null
  if (!isNull && column !== primaryKey) {
    const value = encodeComparison(table, column, after[column.field])
    parameters.push(value)
    if (!table.dialect.comparesRows) parameters.push(value)
  }
  parameters.push(encodeComparison(table, primaryKey, after[primaryKey.field]))
  return isNull ? 'null' : 'value'
}

function then<T, U> (value: MaybePromise<T>, next: (value: T) => U): MaybePromise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
