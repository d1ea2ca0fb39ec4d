import type { IncomingMessage, ServerResponse } from 'node:http'
import type Provider from 'oidc-provider'

/** The accounts at Camelot ID. */
export const people = [
  { sub: 'arthur', name: 'Arthur', email: 'king.arthur@camelot.bt', email_verified: true },
  { sub: 'mordred', name: 'Mordred', email: 'mordred@camelot.bt', email_verified: false }
]

/** Serves the login page of the provider, and redirects to the application with the user's choice. */
export async function answerInteraction (
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse
): Promise<void> {
  await provider.interactionDetails(request, response) // throws if the browser has not started a login
  const { searchParams } = new URL(request.url ?? '', 'http://provider')
  const chosen = searchParams.get('person')
  if (chosen === null) {
    response
      .writeHead(200, {
        'content-type': 'text/html; charset=utf-8',
        'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'"
      })
      .end(page())
    return
  }
  const person = people.find(({ sub }) => sub === chosen)
  await provider.interactionFinished(
    request,
    response,
    person === undefined
      ? { error: 'access_denied', error_description: 'The user refused the login.' }
      : { login: { accountId: person.sub, remember: false } },
    { mergeWithLastSubmission: false }
  )
}

function page (): string {
  const links = people.map(({ sub, name, email }) => `<li><a href="?person=${sub}">${name}, ${email}</a></li>`)
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Camelot ID</title>
<style>body { font: 1.1rem/1.6 system-ui; max-width: 32rem; margin: 4rem auto }</style>
<h1>Camelot ID</h1><p>An application wants to know who you are.</p>
<ul>${links.join('')}</ul><p><a href="?person=">Refuse</a></p></html>`
}
