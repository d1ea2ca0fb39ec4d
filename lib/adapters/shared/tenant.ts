import type { Model } from '../../contracts/models.js'

/** The default `name` of a registration. Its tables and keys keep the names that FastAPI Users gives them. */
export const DEFAULT_TENANT = 'users'

/**
 * Returns the default name of a table or a key prefix of a tenant: that of the default tenant, or one that begins with
 * the tenant.
 */
export function tenantName (tenant: string, name: string): string {
  return tenant === DEFAULT_TENANT ? name : `${tenant}_${name}`
}

/**
 * Returns the model as one tenant stores it: its name, its default table and the models that it refers to are the
 * tenant's own.
 */
export function tenantModel (tenant: string, model: Model): Model {
  if (tenant === DEFAULT_TENANT) return model
  const qualify = (name: string): string => `${tenant}:${name}`
  const fields = Object.entries(model.fields).map(
    ([name, field]) =>
      [name, field.references === undefined ? field : { ...field, references: qualify(field.references) }] as const
  )
  return {
    ...model,
    name: qualify(model.name),
    table: tenantName(tenant, model.table),
    fields: Object.fromEntries(fields),
    tenant
  }
}

/** Returns the tenant that a model belongs to. */
export function tenantOf ({ tenant = DEFAULT_TENANT }: Model): string {
  return tenant
}

/** Returns the name by which the options of an adapter refer to a model, whatever its tenant. */
export function optionNameOf ({ name, tenant }: Model): string {
  return tenant === undefined ? name : name.slice(tenant.length + 1)
}
