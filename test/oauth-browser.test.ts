import { mkdirSync, statSync } from 'node:fs'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { buildPackage } from './helpers/build-package.js'
import { root } from './helpers/root.js'
import { PASSWORD, SECRET } from './helpers/build-app.js'
import { openPage, skipWithoutChromium, type OpenedPage } from './helpers/chromium.js'
import { freePort } from './helpers/free-port.js'

interface Client {
  clientId: string
  clientSecret: string
}
type StartProvider = (
  options: Client & { port: number; redirectUris: string[] }
) => Promise<{ issuer: string; server: Server }>
type BuildApp = (options: {
  file: string
  secret: string
  publicUrl: string
  provider: Client & { issuer: string }
}) => Promise<FastifyInstance>

const ARTHUR = 'king.arthur@camelot.bt'
const LANCELOT = 'lancelot@camelot.bt'
const PICTURES = ['oauth-visitor.png', 'oauth-provider.png', 'oauth-denied.png', 'oauth-user.png'] as const

t.test('a login in a real browser with a real OpenID provider succeeds', { skip: skipWithoutChromium() }, async (t) => {
  const { page, faults, context, origin } = await open(t)
  const message = page.locator('#message')
  const accounts = page.locator('#accounts li')

  await t.test('after a refusal at the provider, the page shows the reason and no user is logged in', async (t) => {
    await take(page, 'oauth-visitor.png')
    await page.getByRole('link', { name: 'Log in with Camelot ID' }).click()
    await page.getByRole('heading', { name: 'Camelot ID' }).waitFor()
    await take(page, 'oauth-provider.png')
    await page.getByRole('link', { name: 'Refuse' }).click()
    await page.locator('#visitor').waitFor()
    t.equal(await message.innerText(), 'You refused the login at the provider.')
    t.equal(page.url(), `${origin}/`)
    t.strictSame(
      await context.cookies(origin).then((cookies) => cookies.filter(({ name }) => name.startsWith('__Host-users'))),
      []
    )
    await take(page, 'oauth-denied.png')
  })

  await t.test('after consent at the provider, the user is logged in and sees the linked account', async (t) => {
    await page.getByRole('link', { name: 'Log in with Camelot ID' }).click()
    await page.getByRole('link', { name: 'Arthur' }).click()
    await page.locator('#user').waitFor()
    t.equal(await page.locator('#email').innerText(), ARTHUR)
    t.equal(await accounts.innerText(), `camelot: ${ARTHUR} Unlink`)
    t.equal(await message.innerText(), '')
    t.equal(await page.evaluate('document.cookie'), '', 'scripts cannot read the session')
    await take(page, 'oauth-user.png')
  })

  await t.test('the only way to log in cannot be unlinked', async (t) => {
    await page.getByRole('button', { name: 'Unlink' }).click()
    await page.getByText('This account is your only way to log in').waitFor()
    t.equal(await accounts.count(), 1)
  })

  await t.test('after logout the page shows no user', async (t) => {
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.locator('#visitor').waitFor()
    t.equal(await page.locator('#user').isVisible(), false)
  })

  await t.test(
    'a user with a password links an account, unlinks it, links it again and logs in with it',
    async (t) => {
      await page.getByLabel('E-mail').fill(LANCELOT)
      await page.getByLabel('Password').fill(PASSWORD)
      let goOn = (): void => {}
      const held = new Promise<void>((resolve) => {
        goOn = resolve
      })
      await page.route(
        '**/users/me/oauth-accounts',
        async (route) => {
          await held
          await route.continue()
        },
        { times: 1 }
      )
      const asked = page.waitForRequest('**/users/me/oauth-accounts')
      await page.getByRole('button', { name: 'Register' }).click()
      await asked
      t.equal(
        await page.locator('#user').isVisible(),
        false,
        'the page shows no data of Arthur while it loads the data of Lancelot'
      )
      goOn()
      await page.locator('#user').waitFor()
      t.equal(await page.locator('#email').innerText(), LANCELOT)
      t.equal(await accounts.count(), 0)

      await link(page, 'Mordred')
      t.equal(await accounts.innerText(), 'camelot: mordred@camelot.bt Unlink')
      await page.getByRole('button', { name: 'Unlink' }).click()
      await accounts.waitFor({ state: 'detached' })
      await link(page, 'Mordred')

      await page.getByRole('button', { name: 'Log out' }).click()
      await page.getByRole('link', { name: 'Log in with Camelot ID' }).click()
      await page.getByRole('link', { name: 'Mordred' }).click()
      await page.locator('#user').waitFor()
      t.equal(await page.locator('#email').innerText(), LANCELOT, 'a login with the account is a login of its user')
    }
  )

  await t.test('an account of another user cannot be linked', async (t) => {
    await page.getByRole('button', { name: 'Unlink' }).click()
    await accounts.waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'Link Camelot ID' }).click()
    await page.getByRole('link', { name: 'Arthur' }).click()
    await page.getByText('This provider account is linked to another user.').waitFor()
    t.equal(await accounts.count(), 0)
  })

  t.same(faults, ['401', '401', '400', '401', '401'], 'the browser reports only the refused requests')
})

t.test('the screenshots are small', async (t) => {
  for (const name of PICTURES) t.ok(statSync(join(root, 'docs', name)).size < 200_000, name)
})

async function link (page: Page, person: string): Promise<void> {
  await page.getByRole('link', { name: 'Link Camelot ID' }).click()
  await page.getByRole('link', { name: person }).click()
  await page.locator('#accounts li').waitFor()
}

/** Starts the example with its provider, and opens its page in a new browser. */
async function open (t: Test): Promise<OpenedPage & { origin: string }> {
  const folder = t.testdir()
  buildPackage(folder)
  const load = async <T>(name: string): Promise<T> =>
    (await import(pathToFileURL(join(folder, 'examples/oauth', `${name}.js`)).href)) as T
  const { buildApp } = await load<{ buildApp: BuildApp }>('app')
  const { startProvider } = await load<{ startProvider: StartProvider }>('provider')

  const port = await freePort() // the provider must know the application's address before the application listens
  const origin = `http://127.0.0.1:${port}`
  const client = { clientId: 'round-table', clientSecret: 'excalibur-excalibur-excalibur-42' }
  const { issuer, server } = await startProvider({
    port: 0,
    ...client,
    redirectUris: [`${origin}/auth/camelot/callback`, `${origin}/auth/associate/camelot/callback`]
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const app = await buildApp({
    file: join(folder, 'users.db'),
    secret: SECRET,
    publicUrl: origin,
    provider: { issuer, ...client }
  })
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port })

  const opened = await openPage(t, { width: 900, height: 640 })
  const { page } = opened
  await page.goto(`${origin}/`)
  await page.locator('#visitor').waitFor()
  return { ...opened, origin }
}

async function take (page: Page, name: (typeof PICTURES)[number]): Promise<void> {
  if (process.env.UPDATE_SCREENSHOT !== '1') return
  mkdirSync(join(root, 'docs'), { recursive: true })
  await page.screenshot({ path: join(root, 'docs', name) })
}
