import type { DatabaseAdapter, NewRow } from '../contracts/database-adapter.js'
import type { Model } from '../contracts/models.js'
import { DEFAULT_TENANT, tenantModel } from '../shared/tenant.js'

/**
 * Returns an adapter that keeps the rows of one tenant in separate tables, so that several tenants can share one
 * adapter or database. The default tenant uses the adapter itself.
 */
export function tenantStore (adapter: DatabaseAdapter, tenant: string): DatabaseAdapter {
  if (tenant === DEFAULT_TENANT) return adapter
  const wrap = (inner: DatabaseAdapter): DatabaseAdapter => tenantStore(inner, tenant)
  const models = new WeakMap<Model, Model>()

  function ownModel (model: Model): Model {
    const known = models.get(model)
    if (known !== undefined) return known
    const made = tenantModel(tenant, model)
    models.set(model, made)
    return made
  }

  const { createAll, findWithUser, within, close } = adapter
  return {
    define: (model) => {
      adapter.define(ownModel(model))
    },
    open: () => adapter.open(),
    create: (model, row) => adapter.create(ownModel(model), row),
    ...(createAll === undefined
      ? {}
      : { createAll: (rows) => createAll.call(adapter, rows.map(([model, row]): NewRow => [ownModel(model), row])) }),
    findOne: (model, where) => adapter.findOne(ownModel(model), where),
    findMany: (model, where, options) => adapter.findMany(ownModel(model), where, options),
    update: (model, where, changes) => adapter.update(ownModel(model), where, changes),
    delete: (model, where) => adapter.delete(ownModel(model), where),
    ...(findWithUser === undefined
      ? {}
      : { findWithUser: (model, where) => findWithUser.call(adapter, ownModel(model), where) }),
    ...(within === undefined ? {} : { within: (transaction) => wrap(within.call(adapter, transaction)) }),
    ...(close === undefined ? {} : { close: () => close.call(adapter) })
  }
}
