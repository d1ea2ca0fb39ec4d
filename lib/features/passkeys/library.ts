import { FST_USERS_INVALID_OPTION } from '../../feature/index.js'

type Server = typeof import('@simplewebauthn/server')
type Helpers = typeof import('@simplewebauthn/server/helpers')

/** The functions of `@simplewebauthn/server` that the feature uses. */
export interface Library {
  readonly verifyRegistrationResponse: Server['verifyRegistrationResponse']
  readonly verifyAuthenticationResponse: Server['verifyAuthenticationResponse']
  readonly decodeAttestationObject: Helpers['decodeAttestationObject']
}

/**
 * Loads the package. It happens at the start: during a request it would block all others. Throws
 * `FST_USERS_INVALID_OPTION` if the package is missing.
 */
export async function loadLibrary (load: () => Promise<Library> = importLibrary): Promise<Library> {
  try {
    return await load()
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code !== 'ERR_MODULE_NOT_FOUND') throw error
    throw FST_USERS_INVALID_OPTION([
      'features["passkeys"]',
      'needs the package @simplewebauthn/server 14; run `npm install @simplewebauthn/server@14`'
    ])
  }
}

async function importLibrary (): Promise<Library> {
  const { verifyRegistrationResponse, verifyAuthenticationResponse } = await import('@simplewebauthn/server')
  const { decodeAttestationObject } = await import('@simplewebauthn/server/helpers')
  return { verifyRegistrationResponse, verifyAuthenticationResponse, decodeAttestationObject }
}
