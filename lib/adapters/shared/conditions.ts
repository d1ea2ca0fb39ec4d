import type { Comparison, Where } from '../../contracts/database-adapter.js'
import type { Value } from '../../contracts/models.js'
import { invalidArgument } from './errors.js'

/** The operator of one condition: `=` or `null` for plain values, otherwise the property name of a `Comparison`. */
export type Operator = '=' | 'null' | 'lt' | 'lte' | 'gt' | 'gte' | 'in'

/** Receives one condition. For `in`, `values` is a list; otherwise it is one value. */
export type ConditionVisitor = (field: string, operator: Operator, values: unknown) => void

const operators: ReadonlySet<string> = new Set(['lt', 'lte', 'gt', 'gte', 'in'])

/**
 * Calls `visit` for every condition. Throws `FST_USERS_INVALID_OPTION` for undefined values, null in a comparison and
 * unknown operators.
 */
export function eachCondition (model: string, where: Where, visit: ConditionVisitor): void {
  for (const field in where) {
    const value: unknown = where[field]
    if (value === null) visit(field, 'null', null)
    else if (value === undefined) throw invalidArgument(model, field, 'has no value to compare with')
    else if (isComparison(value)) eachComparison(model, field, value, visit)
    else visit(field, '=', value)
  }
}

function eachComparison (model: string, field: string, comparison: Comparison, visit: ConditionVisitor): void {
  let count = 0
  for (const operator in comparison) {
    if (!isOperator(operator)) throw invalidArgument(model, field, `cannot be compared by "${operator}"`)
    const value: unknown = comparison[operator]
    if (value === undefined || value === null) throw invalidArgument(model, field, 'has no value to compare with')
    if ((operator === 'in') !== Array.isArray(value)) {
      throw invalidArgument(model, field, '`in` takes a list, the others take one value')
    }
    visit(field, operator, value)
    count++
  }
  if (count === 0) throw invalidArgument(model, field, 'has no value to compare with')
}

function isComparison (value: unknown): value is Comparison & Exclude<Value, Date> {
  return typeof value === 'object' && !(value instanceof Date)
}

function isOperator (name: string): name is Exclude<Operator, '=' | 'null'> {
  return operators.has(name)
}
