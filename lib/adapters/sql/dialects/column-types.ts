import type { Field } from '../../../contracts/models.js'

/** Forms in which columns store ids. */
export type IdStorage = NonNullable<Field['id']>['storage']

/** Returns the form in which a column stores ids. */
export function storageOf ({ id }: Field): IdStorage {
  return id?.storage ?? 'uuid'
}

/** Returns the type of a text column. */
export function varchar (length: number | undefined): string {
  return length === undefined ? 'TEXT' : `VARCHAR(${length})`
}
