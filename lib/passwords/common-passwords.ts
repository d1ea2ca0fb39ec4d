import { createRequire } from 'node:module'

// the part of @zxcvbn-ts/language-common that is used: passwords by falling frequency, in lower case
interface LanguageCommon { dictionary: { 'passwords-common': readonly string[] } }

/** A test for the most common passwords of at least so many characters; it takes the whole password in lower case. The list is loaded when first asked (once some 50 ms and 3 MB). */
export function lazyCommonPasswords (minimumLength: number): (password: string) => boolean {
  let common: ReadonlySet<string> | undefined
  return (password) => {
    common ??= loadCommonPasswords(minimumLength)
    return common.has(password)
  }
}

// required, not imported: it has to load on demand within a synchronous call
function loadCommonPasswords (minimumLength: number): ReadonlySet<string> {
  const require = createRequire(import.meta.url)
  const { dictionary }: LanguageCommon = require('@zxcvbn-ts/language-common')
  return new Set(dictionary['passwords-common'].filter((password) => password.length >= minimumLength))
}
