import type { Model, ModelBase } from '../../contracts/models.js'
import { optionNameOf } from '../../shared/tenant.js'
import { modelsOf } from '../../models.js'
import type { Config } from '../config.js'

/** A model of the config, and the columns that features add to it. */
export interface MovedModel {
  readonly model: Model
  /** Fields that existing tables may lack: those of features, which other programs do not know. */
  readonly added: ReadonlySet<string>
}

/** Returns the models whose tables a move brings to the current schema. */
export function movedModels ({ options, settings }: Pick<Config, 'options' | 'settings'>): MovedModel[] {
  const base: ModelBase = { id: settings.schemas.id, tenant: settings.name }
  const extensions = (options.features ?? [])
    .flatMap((feature) => feature.models?.(base) ?? [])
    .flatMap((declared) => ('extends' in declared ? [declared] : []))
  return modelsOf(options, settings).map((model) => {
    const own = extensions.filter((extension) => extension.extends === optionNameOf(model))
    return { model, added: new Set(own.flatMap(({ fields }) => Object.keys(fields))) }
  })
}
