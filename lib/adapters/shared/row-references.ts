import type { NewRow, Row } from '../../contracts/database-adapter.js'
import { invalidArgument } from './errors.js'
import { primaryKeyOf } from './model-registry.js'

/** Registered globally, because the adapter may come from another copy of this package. */
const kPosition: unique symbol = Symbol.for('fastify-users.idOf')

/** Stands for the primary key of an earlier row in the list that `createAll` stores. */
export interface RowReference {
  readonly [kPosition]: number
}

/**
 * Returns a value that stands for the primary key of the row at `position`, counted from 0, in the list that
 * `createAll` stores. The database may generate that key. Only later rows can use the value.
 *
 * @example
 * await store.createAll?.([[User, { email }], [Account, { user_id: idOf(0), account_id: '7' }]])
 */
export function idOf (position: number): RowReference {
  return { [kPosition]: position }
}

/** Returns the position that `idOf` received, or undefined for any other value. */
export function positionOf (value: unknown): number | undefined {
  return typeof value === 'object' && value !== null && kPosition in value ? Number(value[kPosition]) : undefined
}

/**
 * Returns the values of the row at `position`, with the primary keys of stored rows in the place of `idOf`. Throws
 * `FST_USERS_INVALID_OPTION` if a value refers to a row that is not stored yet.
 */
export function resolveRow (rows: readonly NewRow[], position: number, stored: readonly (Row | undefined)[]): Row {
  const [model, row] = newRowAt(rows, position)
  const values = Object.entries(row).map(([field, value]) => {
    const target = positionOf(value)
    if (target === undefined) return [field, value]
    const found = stored[target]
    if (found === undefined) throw invalidArgument(model.name, field, `idOf(${target}) does not refer to an earlier row`)
    return [field, found[primaryKeyOf(newRowAt(rows, target)[0]).name]]
  })
  return Object.fromEntries(values) as Row
}

function newRowAt (rows: readonly NewRow[], position: number): NewRow {
  const row = rows[position]
  if (row === undefined) throw invalidArgument('createAll', '', `there is no row ${position}`)
  return row
}
