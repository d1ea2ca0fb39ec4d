import type { Field, Model, ModelExtension } from '../../contracts/models.js'
import { invalidArgument } from './errors.js'

const EXTENSIBLE: ReadonlySet<string> = new Set<ModelExtension['extends']>(['user', 'accesstoken'])

/**
 * Returns the models with the columns that extensions add to them. Equal extensions count once. Throws
 * `FST_USERS_INVALID_OPTION` for a column with the name of another one, and for a column that rows without a value
 * cannot have.
 */
export function mergeModels (declared: readonly (Model | ModelExtension)[]): Model[] {
  const models = declared.filter((one): one is Model => !isExtension(one))
  const extensions = declared.filter(isExtension)
  for (const extension of extensions) checkExtension(extension)
  return models.map((model) => extendModel(model, extensions.filter((one) => one.extends === model.name)))
}

function isExtension (declared: Model | ModelExtension): declared is ModelExtension {
  return 'extends' in declared
}

function extendModel (model: Model, extensions: readonly ModelExtension[]): Model {
  if (extensions.length === 0) return model
  const added = new Map<string, Field>()
  const unique = new Map((model.unique ?? []).map((fields) => [fields.join(), fields]))
  const index = new Map((model.index ?? []).map((fields) => [fields.join(), fields]))
  for (const extension of extensions) {
    for (const [name, field] of Object.entries(extension.fields)) {
      const known = added.get(name)
      if (Object.hasOwn(model.fields, name) || (known !== undefined && !isSameField(known, field))) {
        throw invalidArgument(model.name, name, 'is added by a feature, but is a different field already')
      }
      added.set(name, field)
    }
    for (const fields of extension.unique ?? []) unique.set(fields.join(), fields)
    for (const fields of extension.index ?? []) index.set(fields.join(), fields)
  }
  return {
    ...model,
    fields: { ...model.fields, ...Object.fromEntries(added) },
    unique: [...unique.values()],
    index: [...index.values()]
  }
}

function checkExtension ({ extends: name, fields, unique = [], index = [] }: ModelExtension): void {
  if (!EXTENSIBLE.has(name)) {
    throw invalidArgument(String(name), '', `cannot be extended; only ${[...EXTENSIBLE].join(' and ')} can`)
  }
  for (const [field, { nullable, default: fallback }] of Object.entries(fields)) {
    // other code creates rows of the model, and existing rows have no value
    if (nullable !== true && fallback === undefined) {
      throw invalidArgument(name, field, 'is added by a feature, so it must be nullable or have a default')
    }
  }
  for (const field of [...unique, ...index].flat()) {
    if (!Object.hasOwn(fields, field)) throw invalidArgument(name, field, 'is indexed by a feature that does not add it')
  }
}

/** Compares everything except functions, so that the ids of two `uuidId()` calls are equal. */
function isSameField (one: Field, other: Field): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
