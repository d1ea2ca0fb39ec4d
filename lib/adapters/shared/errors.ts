import { FST_USERS_INVALID_OPTION, type UsersError } from '../../errors.js'

/**
 * The error for a call that names a model, field or value that cannot be: a mistake of the calling code, never of a
 * visitor.
 */
export function misuse (model: string, field: string, problem: string): UsersError {
  return FST_USERS_INVALID_OPTION([field === '' ? model : `${model}.${field}`, problem])
}
