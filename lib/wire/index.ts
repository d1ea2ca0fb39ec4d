export {
  compatibilityKeys,
  readCompatibility,
  refuseMisplacedParts,
  type CompatibilityOptions
} from './compatibility.js'
export { codesOf } from './descriptions.js'
export { FASTAPI_USERS_PASSWORDS } from './fastapi.js'
