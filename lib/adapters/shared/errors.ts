import { FST_USERS_INVALID_OPTION, type UsersError } from '../../errors.js'

/**
 * Returns the error for an adapter call with an invalid model, field or value. Its cause is a bug in the calling code,
 * not user input.
 */
export function invalidArgument (model: string, field: string, problem: string): UsersError {
  return FST_USERS_INVALID_OPTION([field === '' ? model : `${model}.${field}`, problem])
}
