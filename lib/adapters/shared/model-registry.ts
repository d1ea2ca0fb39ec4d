import type { Field, Model } from '../../contracts/models.js'
import { invalidArgument } from './errors.js'
import { checkUpgrades } from './upgrades.js'

/** The models that were defined on an adapter, by name. */
export class ModelRegistry {
  readonly #models = new Map<string, Model>()

  /**
   * Adds a model. Defining the same model again has no effect; a different model with the same name throws
   * `FST_USERS_INVALID_OPTION`.
   */
  define (model: Model): void {
    const known = this.#models.get(model.name)
    if (known !== undefined && !isSame(known, model)) {
      throw invalidArgument(model.name, '', 'a different model with this name is already defined')
    }
    checkModel(model)
    if (known === undefined) this.#models.set(model.name, model)
  }

  /** Returns the model with this name. Throws `FST_USERS_INVALID_OPTION` if it is not defined. */
  get (name: string): Model {
    const model = this.#models.get(name)
    if (model === undefined) throw invalidArgument(name, '', 'the model is not defined; call define() before open()')
    return model
  }

  get all (): readonly Model[] {
    return [...this.#models.values()]
  }
}

/** Returns the name and definition of a model's primary key, which is its first field. */
export function primaryKeyOf (model: Model): { name: string; field: Field } {
  const [first] = Object.entries(model.fields)
  if (first === undefined) throw invalidArgument(model.name, '', 'has no fields')
  return { name: first[0], field: first[1] }
}

/**
 * Returns the name of the model that the field `user_id` references. Throws `FST_USERS_INVALID_OPTION` if the model has
 * no such reference.
 */
export function userModelOf (model: Model): string {
  const name = model.fields['user_id']?.references
  if (name === undefined) throw invalidArgument(model.name, 'user_id', 'must reference the user model')
  return name
}

function isSame (one: Model, other: Model): boolean {
  return textOfModel(one) === textOfModel(other)
}

/**
 * Returns a text that is the same for equal models. It contains no functions, so that the models of two `uuidId()`
 * calls are equal.
 */
function textOfModel (model: Model): string {
  return JSON.stringify([model.table, Object.entries(model.fields), model.unique, model.index, model.version])
}

function checkModel (model: Model): void {
  primaryKeyOf(model)
  checkUpgrades(model)
  for (const name of [...(model.unique ?? []), ...(model.index ?? [])].flat()) {
    if (!Object.hasOwn(model.fields, name)) {
      throw invalidArgument(model.name, name, 'is used in `unique` or `index`, but is not a field')
    }
  }
}
