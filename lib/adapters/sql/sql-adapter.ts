import type {
  Changes,
  DatabaseAdapter,
  FindManyOptions,
  MaybePromise,
  NewRow,
  Row,
  Where
} from '../../contracts/database-adapter.js'
import type { Model } from '../../contracts/models.js'
import { FST_USERS_INVALID_OPTION, FST_USERS_NOT_READY } from '../../errors.js'
import { checkKnownKeys } from '../../shared/option-checks.js'
import { claimStorageNames } from '../shared/claims.js'
import { invalidArgument } from '../shared/errors.js'
import { ModelRegistry, userModelOf } from '../shared/model-registry.js'
import { checkTimeLimit } from '../../shared/time-limit.js'
import { isPromise } from '../../shared/values.js'
import type { SqlDriver, SqlStatement } from './drivers/driver.js'
import { decodeRow } from './encoder.js'
import { openTables, type OpenedTables } from './open-tables.js'
import { appendChangedValues, appendStartValues } from './parameters.js'
import { checkMappings, mappingOf, type TableMappings, tableNamesOf } from './schema.js'
import { Shape, shapeOf } from './shape.js'
import type { SqlAdapterOptions, SqlConnection, SqlServerOptions, SqlSettings } from './sql-options.js'
import * as sql from './statements.js'
import { columnOf, makeTable, type Table } from './table.js'
import { insertAll, insertOf, runWrite } from './writes.js'

const DEFAULT_TIMEOUT_MS = 5000

/** Creates the adapter of an embedded database. */
export function sqlAdapter (connection: SqlConnection, options: SqlAdapterOptions = {}): DatabaseAdapter {
  return new SqlAdapter(connection, options, { known: ['tables'], creates: true, timeoutMs: DEFAULT_TIMEOUT_MS })
}

/** Creates the adapter of a database server. Throws `FST_USERS_INVALID_OPTION` for invalid options. */
export function sqlServerAdapter (connection: SqlConnection, options: SqlServerOptions): DatabaseAdapter {
  const { createTables = false, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  if (typeof createTables !== 'boolean') throw FST_USERS_INVALID_OPTION(['createTables', 'must be true or false'])
  checkTimeLimit('timeoutMs', timeoutMs)
  return new SqlAdapter(connection, options, {
    known: [
      ...(connection.mappingsOf === undefined ? ['tables', 'createTables'] : []),
      'timeoutMs',
      ...(connection.options ?? [])
    ],
    creates: createTables,
    timeoutMs
  })
}

class SqlAdapter implements DatabaseAdapter {
  readonly #models = new ModelRegistry()
  readonly #connection: SqlConnection
  readonly #options: SqlAdapterOptions
  readonly #settings: SqlSettings
  readonly #shapes = new Map<string, Shape>()
  #driver: SqlDriver | undefined
  #opened: OpenedTables | undefined
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
    const models = this.#models.all
    const { dialect, connect } = this.#connection
    const { known, creates, timeoutMs } = this.#settings
    checkKnownKeys('', this.#options, known)
    const mappings = this.#mappings
    checkMappings(dialect, models, mappings)
    this.#claim(models, mappings)
    const driver = (this.#driver ??= await connect(timeoutMs))
    try {
      const opened = await openTables(driver, { dialect, models, mappings, creates })
      for (const [name, table] of opened.tables) this.#shapes.set(name, new Shape(table, opened.driver))
      this.#opened = opened
    } catch (error) {
      if (this.#shapes.size === 0) await this.close() // otherwise another registration already uses the adapter
      throw error
    }
  }

  async create (model: Model, row: Row): Promise<Row> {
    const root = this.#root(model.name)
    const { table } = root
    const { columns, parameters, stored } = insertOf(table, row)
    const statement = root.statement(`insert ${columns.length}`, () => sql.insertSql(table, columns))
    const { insertId } = await runWrite(table, statement, parameters)
    return stored(insertId)
  }

  async createAll (rows: readonly NewRow[]): Promise<Row[]> {
    const [shape] = rows.map(([{ name }]) => this.#root(name))
    if (shape === undefined) return []
    return await insertAll(shape.driver, ({ name }) => this.#root(name).table, rows)
  }

  findOne (model: Model, where: Where): MaybePromise<Row | null> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    for (const position of shape.exactMatchPositions) parameters.push(parameters[position])
    const statement = shape.statement('one', () => sql.selectOneSql(shape))
    return readFirst(shape.table, statement, parameters, (values) => decodeRow(shape.table, values))
  }

  findWithUser (model: Model, where: Where): MaybePromise<{ row: Row; user: Row } | null> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    for (const position of shape.exactMatchPositions) parameters.push(parameters[position])
    const { table } = shape
    const { table: users } = this.#root(userModelOf(model))
    const statement = shape.statement('user', () => sql.selectWithUserSql(shape, users))
    return readFirst(table, statement, parameters, (values) => ({
      row: decodeRow(table, values),
      user: decodeRow(users, values, table.columns.length)
    }))
  }

  async findMany (model: Model, where: Where, { limit, order, after }: FindManyOptions): Promise<Row[]> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    const { table } = shape
    const sort = order ?? table.primaryKey.field
    const column = columnOf(table, sort)
    if (column === undefined || column.definition.type === 'json') {
      throw invalidArgument(model.name, sort, 'cannot be sorted by')
    }
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw invalidArgument(model.name, '', '`limit` must be a non-negative integer')
    }
    const start = after === undefined ? 'start' : appendStartValues(table, column, after, parameters)
    const statement = shape.statement(`many ${column.field} ${start}`, () =>
      sql.selectManySql(shape, { column, after: start })
    )
    return (await statement.all([...parameters, limit])).map((values) => decodeRow(table, values))
  }

  async update (model: Model, where: Where, changes: Changes): Promise<number> {
    const root = this.#root(model.name)
    const { table } = root
    const parameters: unknown[] = []
    const assignments = appendChangedValues(table, changes, parameters)
    const shape = shapeOf(root, where, parameters)
    if (assignments.length === 0) {
      const counted = await shape.statement('count', () => sql.countSql(shape)).get(parameters)
      return Number(counted?.[0])
    }
    const kind = assignments.map(({ column, increment }) => `${increment ? '+' : '='}${column.field}`).join(' ')
    const statement = shape.statement(kind, () => sql.updateSql(shape, assignments))
    return (await runWrite(table, statement, parameters)).changes
  }

  async delete (model: Model, where: Where): Promise<number> {
    const parameters: unknown[] = []
    const shape = shapeOf(this.#root(model.name), where, parameters)
    const statement = shape.statement('delete', () => sql.deleteSql(shape))
    return (await runWrite(shape.table, statement, parameters)).changes
  }

  within (transaction: unknown): DatabaseAdapter {
    const { transactions } = this.#connection
    if (transactions === undefined) throw FST_USERS_INVALID_OPTION(['transaction', 'is not supported by this adapter'])
    if (this.#opened === undefined) throw FST_USERS_NOT_READY()
    const { found, isUtc } = this.#opened
    const { dialect } = transactions
    const driver = transactions.use(transaction, { timeoutMs: this.#settings.timeoutMs, isUtc })
    const mappings = this.#mappings
    const adapter = new SqlAdapter(this.#connection, this.#options, this.#settings)
    for (const model of this.#models.all) {
      const mapping = mappingOf(model, mappings)
      const table = makeTable(model, dialect, mapping, found.get(dialect.foldName(mapping.table ?? model.table)))
      adapter.#models.define(model)
      adapter.#shapes.set(model.name, new Shape(table, driver))
    }
    return adapter
  }

  async close (): Promise<void> {
    const driver = this.#driver
    this.#driver = undefined
    this.#opened = undefined
    this.#shapes.clear()
    this.#release?.()
    this.#release = undefined
    await driver?.close()
  }

  get #mappings (): TableMappings {
    return this.#connection.mappingsOf?.(this.#models.all) ?? this.#options.tables ?? {}
  }

  /** Records which tables this adapter uses. Throws `FST_USERS_INVALID_OPTION` for a table of another tenant. */
  #claim (models: readonly Model[], mappings: TableMappings): void {
    const { client, dialect } = this.#connection
    this.#release?.()
    this.#release = undefined
    if (client !== undefined) {
      this.#release = claimStorageNames(client, 'tables', tableNamesOf(dialect, models, mappings))
    }
  }

  #root (name: string): Shape {
    const root = this.#shapes.get(name)
    if (root !== undefined) return root
    this.#models.get(name)
    throw FST_USERS_NOT_READY()
  }
}

/**
 * Returns the decoded first row, or null. Also null if the database cannot represent a character of the value that is
 * looked up, since no row can contain it.
 */
function readFirst<T> (
  { dialect: { isUnknownLetter } }: Table,
  statement: SqlStatement,
  parameters: readonly unknown[],
  decode: (values: readonly unknown[]) => T
): MaybePromise<T | null> {
  const found = statement.get(parameters)
  const read = (values: readonly unknown[] | undefined): T | null => (values === undefined ? null : decode(values))
  if (!isPromise(found)) return read(found)
  return found.then(read, (error: unknown) => {
    if (isUnknownLetter?.(error) === true) return null
    throw error
  })
}
