import type { Model } from '../contracts/models.js'

/** The default `name` of a registration. Its tables and keys have the same names as those of FastAPI Users. */
export const DEFAULT_TENANT = 'users'

/**
 * Returns the default name of a tenant's table or key prefix: unchanged for the default tenant, otherwise prefixed with
 * the tenant.
 */
export function tenantName (tenant: string, name: string): string {
  return tenant === DEFAULT_TENANT ? name : `${tenant}_${name}`
}

/** Returns the model for one tenant: its name, its default table and its references belong to the tenant. */
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

export function tenantOf ({ tenant = DEFAULT_TENANT }: Model): string {
  return tenant
}

/** Returns the model's name in adapter options, which does not depend on the tenant. */
export function optionNameOf ({ name, tenant }: Model): string {
  return tenant === undefined ? name : name.slice(tenant.length + 1)
}
