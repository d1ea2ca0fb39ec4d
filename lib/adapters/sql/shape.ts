import type { Where } from '../../contracts/database-adapter.js'
import { eachCondition, type Operator } from '../shared/conditions.js'
import { encodeComparison } from './encoder.js'
import type { SqlDriver, SqlStatement } from './drivers/driver.js'
import { type Column, columnOf, type Table } from './table.js'

/** One condition without its value. Without a column, because an existing table lacks it, the field counts as null. */
export interface Term {
  readonly column: Column | undefined
  readonly operator: Operator
  readonly size: number
}

/**
 * The fields and operators of a `where` object, with the statements prepared for them. Shapes form a tree, so a shape
 * is found without building a string key.
 */
export class Shape {
  readonly table: Table
  readonly terms: readonly Term[]
  readonly #statements = new StatementCache()
  readonly driver: SqlDriver
  /**
   * Positions of the parameters of equality conditions that ignore case. Their values are bound a second time, to sort
   * exact matches first.
   */
  readonly exactMatchPositions: readonly number[]
  readonly #next = new Map<string, Map<Operator | number, Shape>>()

  constructor (table: Table, driver: SqlDriver, terms: readonly Term[] = []) {
    this.table = table
    this.driver = driver
    this.terms = terms
    this.exactMatchPositions = findExactMatchPositions(terms)
  }

  /** Returns the shape with one more condition. */
  with (field: string, operator: Operator, size: number): Shape {
    const key = operator === 'in' ? size : operator
    return this.#next.get(field)?.get(key) ?? this.#grow(field, operator, size, key)
  }

  /** Returns the statement of one kind. `write` builds its SQL on first use. */
  statement (kind: string, write: () => string): SqlStatement {
    return this.#statements.get(kind) ?? this.#statements.set(kind, this.driver.prepare(write()))
  }

  #grow (field: string, operator: Operator, size: number, key: Operator | number): Shape {
    const shape = new Shape(this.table, this.driver, [
      ...this.terms,
      { column: columnOf(this.table, field), operator, size }
    ])
    const next = this.#next.get(field) ?? new Map<Operator | number, Shape>()
    this.#next.set(field, next.set(key, shape))
    return shape
  }
}

/**
 * The prepared statements of one shape, at most `LIMIT`. The oldest one is dropped for a new one, since some kinds
 * depend on the fields of a request.
 */
class StatementCache {
  readonly #statements = new Map<string, SqlStatement>()

  get (kind: string): SqlStatement | undefined {
    return this.#statements.get(kind)
  }

  set (kind: string, statement: SqlStatement): SqlStatement {
    const [oldest] = this.#statements.keys()
    if (this.#statements.size >= LIMIT && oldest !== undefined) this.#statements.delete(oldest)
    this.#statements.set(kind, statement)
    return statement
  }
}

const LIMIT = 100

/** Returns the shape of a `where` object below `root`, and appends the encoded values to `parameters`. */
export function shapeOf (root: Shape, where: Where, parameters: unknown[]): Shape {
  const { table } = root
  let shape = root
  eachCondition(table.model.name, where, (field, operator, value) => {
    const column = table.byField.get(field)
    if (column === undefined) {
      shape = shape.with(field, operator, 0)
    } else if (operator === 'in') {
      const values = padToPowerOfTwo(value as readonly unknown[]) // eachCondition checked the list
      shape = shape.with(field, operator, values.length)
      const encoded = values.map((one) => encodeComparison(table, column, one))
      parameters.push(...encoded)
      if (isComparedTwice(column, operator)) parameters.push(...encoded)
    } else {
      shape = shape.with(field, operator, 1)
      if (operator === 'null') return
      const encoded = encodeComparison(table, column, value)
      parameters.push(encoded)
      if (isComparedTwice(column, operator)) parameters.push(encoded)
    }
  })
  return shape
}

/** Pads a list to a power of two by repeating its last value, so that few statements serve all lengths. */
function padToPowerOfTwo (values: readonly unknown[]): unknown[] {
  const size = values.length === 0 ? 0 : 2 ** Math.ceil(Math.log2(values.length))
  return Array.from({ length: size }, (_, position) => values[Math.min(position, values.length - 1)])
}

/** Returns true if equality is tested twice: by the column's collation, which its index serves, and then exactly. */
export function isComparedTwice ({ definition, collated, ignoresCase }: Column, operator: Operator): boolean {
  return (operator === '=' || operator === 'in') && (definition.ignoreCase === true ? ignoresCase : collated)
}

/** Returns true for an equality that ignores case. An exact match is sorted before other matches. */
export function prefersExact (term: Term): term is Term & { column: Column } {
  return term.operator === '=' && term.column?.definition.ignoreCase === true
}

function findExactMatchPositions (terms: readonly Term[]): number[] {
  const positions: number[] = []
  let position = 0
  for (const term of terms) {
    if (prefersExact(term)) positions.push(position)
    position += parameterCount(term)
  }
  return positions
}

function parameterCount ({ column, operator, size }: Term): number {
  if (column === undefined || operator === 'null') return 0
  return isComparedTwice(column, operator) ? 2 * size : size
}
