import { tenantModel } from './adapters/shared/tenant.js'
import type { Model, ModelBase } from './contracts/models.js'
import type { Settings } from './contracts/settings.js'
import type { UsersOptions } from './options.js'
import { userModel } from './users/index.js'

/** Returns the models of the core, the strategies and the features. The store of the tenant prefixes their names. */
export function declaredModels (
  { backends, features = [] }: Pick<UsersOptions, 'backends' | 'features'>,
  { schemas, name }: Pick<Settings, 'schemas' | 'name'>
): readonly Model[] {
  const base: ModelBase = { id: schemas.id, tenant: name }
  return [
    userModel(schemas),
    ...backends.flatMap(({ strategy }) => strategy.models?.(base) ?? []),
    ...features.flatMap((feature) => feature.models?.(base) ?? [])
  ]
}

/** Returns the models of a registration as an adapter of several tenants sees them, each once. */
export function modelsOf (
  options: Pick<UsersOptions, 'backends' | 'features'>,
  settings: Pick<Settings, 'schemas' | 'name'>
): readonly Model[] {
  const models = declaredModels(options, settings).map((model) => tenantModel(settings.name, model))
  return [...new Map(models.map((model) => [model.name, model])).values()]
}
