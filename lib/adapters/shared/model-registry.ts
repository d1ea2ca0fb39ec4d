import type { Field, Model } from '../../contracts/models.js'
import { misuse } from './errors.js'

/** The models that an adapter was told of, by name. */
export class ModelRegistry {
  readonly #models = new Map<string, Model>()

  /**
   * Adds a model. The same model again does nothing; another one of the same name throws `FST_USERS_INVALID_OPTION`.
   */
  define (model: Model): void {
    const known = this.#models.get(model.name)
    if (known !== undefined && !isSame(known, model)) throw misuse(model.name, '', 'another model has this name')
    checkModel(model)
    if (known === undefined) this.#models.set(model.name, model)
  }

  /** The defined model of that name. Throws `FST_USERS_INVALID_OPTION` without one. */
  get (name: string): Model {
    const model = this.#models.get(name)
    if (model === undefined) throw misuse(name, '', 'there is no such model; define it before open()')
    return model
  }

  get all (): readonly Model[] {
    return [...this.#models.values()]
  }
}

/** The name and definition of a model's primary key. */
export function primaryKeyOf (model: Model): { name: string; field: Field } {
  const [first] = Object.entries(model.fields)
  if (first === undefined) throw misuse(model.name, '', 'has no fields')
  return { name: first[0], field: first[1] }
}

/**
 * The name of the model that `user_id` refers to. Throws `FST_USERS_INVALID_OPTION` for a model without that reference.
 */
export function userModelOf (model: Model): string {
  const name = model.fields['user_id']?.references
  if (name === undefined) throw misuse(model.name, 'user_id', 'refers to no model')
  return name
}

function isSame (one: Model, other: Model): boolean {
  return describe(one) === describe(other)
}

/** Functions of id kinds are left out: two calls of `uuidId()` make equal models. */
function describe (model: Model): string {
  return JSON.stringify([model.table, Object.entries(model.fields), model.unique, model.index])
}

function checkModel (model: Model): void {
  primaryKeyOf(model)
  for (const name of [...(model.unique ?? []), ...(model.index ?? [])].flat()) {
    if (!Object.hasOwn(model.fields, name)) throw misuse(model.name, name, 'there is no such field')
  }
}
