import { counterModel } from './attempts/index.js'
import { mergeModels } from './adapters/shared/merge-models.js'
import { ModelRegistry } from './adapters/shared/model-registry.js'
import type { Feature } from './contracts/feature.js'
import type { Model, ModelBase, ModelExtension } from './contracts/models.js'
import type { Settings } from './contracts/settings.js'
import { FST_USERS_INVALID_OPTION } from './errors.js'
import type { UsersOptions } from './options.js'
import { deviceModel, singleUseModel, trustedDeviceModel } from './sessions/index.js'
import { tenantModel } from './shared/tenant.js'
import { userModel } from './users/index.js'

/** The settings from which the models of a registration follow. */
export type ModelSettings = Pick<Settings, 'schemas' | 'name'> &
  Partial<Pick<Settings, 'registration' | 'tokens' | 'detectNewDevices' | 'limits' | 'secondFactors'>>

/**
 * Returns the models of the core, the strategies and the features. The store of the tenant prefixes their names. Throws
 * `FST_USERS_INVALID_OPTION` for a column that a feature adds under the name of another field.
 */
export function declaredModels (
  { backends, features = [], captcha }: Pick<UsersOptions, 'backends' | 'features' | 'captcha'>,
  settings: ModelSettings
): readonly Model[] {
  const { schemas, name, limits, detectNewDevices = false, secondFactors } = settings
  const base: ModelBase = { id: schemas.id, tenant: name }
  const usesStore = features.some(usesSingleUse) || storesTokens(settings) || captcha?.provider.usesStore === true
  const declared = features.flatMap((feature) => feature.models?.(base) ?? [])
  checkUserColumns(declared, features.flatMap((feature) => Object.keys(feature.userFields?.(base) ?? {})), schemas)
  const models = mergeModels([
    userModel(schemas),
    ...backends.flatMap(({ strategy }) => strategy.models?.(base) ?? []),
    ...declared,
    ...(limits?.hasTable === true ? [counterModel] : []),
    ...(usesStore ? [singleUseModel] : []),
    ...(detectNewDevices ? [deviceModel] : []),
    ...(secondFactors?.trustedDevices == null ? [] : [trustedDeviceModel])
  ])
  for (const { name: model, embed } of models) {
    // a document store keeps the rows of the model and the custom field in properties of the user's document
    if (embed !== undefined && embed in schemas.fields) {
      throw FST_USERS_INVALID_OPTION(['schemas', `has the field ${embed}, under which "${model}" is stored; rename it`])
    }
  }
  return models
}

/** Returns true if the feature stores single-use values. Tickets of login steps are such values. */
export function usesSingleUse ({ singleUse = false, loginSteps = [] }: Feature): boolean {
  return singleUse || loginSteps.length > 0
}

/** Returns true if the core stores mailed tokens. */
function storesTokens ({ registration, tokens }: ModelSettings): boolean {
  return registration === 'mail' || (tokens !== undefined && tokens.undo !== null)
}

/**
 * Returns the models of a registration as its adapter sees them, each once. Throws `FST_USERS_INVALID_OPTION` for
 * different models with one name.
 */
export function modelsOf (
  options: Pick<UsersOptions, 'backends' | 'features' | 'captcha'>,
  settings: ModelSettings
): readonly Model[] {
  const registry = new ModelRegistry()
  for (const model of declaredModels(options, settings)) registry.define(tenantModel(settings.name, model))
  return registry.all
}

/**
 * Throws `FST_USERS_INVALID_OPTION` if replies would contain a column that a feature adds to the user, other than those
 * of `userFields`, and if a field of `userFields` is not such a column.
 */
function checkUserColumns (
  declared: readonly (Model | ModelExtension)[],
  shared: readonly string[],
  { UserRead }: Settings['schemas']
): void {
  const added = declared.flatMap((one) => ('extends' in one && one.extends === 'user' ? Object.keys(one.fields) : []))
  const shown = added.find((field) => Object.hasOwn(UserRead.properties, field) && !shared.includes(field))
  if (shown !== undefined) {
    throw FST_USERS_INVALID_OPTION([`user.${shown}`, 'is added by a feature, but is a property of users in replies'])
  }
  const missing = shared.find((field) => !added.includes(field))
  if (missing !== undefined) {
    throw FST_USERS_INVALID_OPTION([`userFields.${missing}`, 'is not a column that a feature adds to the user'])
  }
}
