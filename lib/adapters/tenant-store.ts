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

  function own (model: Model): Model {
    const known = models.get(model)
    if (known !== undefined) return known
    const made = tenantModel(tenant, model)
    models.set(model, made)
    return made
  }

  const { createAll, findWithUser, within, close } = adapter
  return {
    define: (model) => {
      adapter.define(own(model))
    },
    open: () => adapter.open(),
    create: (model, row) => adapter.create(own(model), row),
    ...(createAll === undefined
      ? {}
      : { createAll: (rows) => createAll.call(adapter, rows.map(([model, row]): NewRow => [own(model), row])) }),
    findOne: (model, where) => adapter.findOne(own(model), where),
    findMany: (model, where, options) => adapter.findMany(own(model), where, options),
    update: (model, where, changes) => adapter.update(own(model), where, changes),
    delete: (model, where) => adapter.delete(own(model), where),
    ...(findWithUser === undefined
      ? {}
      : { findWithUser: (model, where) => findWithUser.call(adapter, own(model), where) }),
    ...(within === undefined ? {} : { within: (transaction) => wrap(within.call(adapter, transaction)) }),
    ...(close === undefined ? {} : { close: () => close.call(adapter) })
  }
}
