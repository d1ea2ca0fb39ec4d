import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { altcha } from '../lib/captcha/index.js'
import { ARTHUR, buildApp, PASSWORD } from './helpers/build-app.js'
import { openPage, skipWithoutChromium } from './helpers/chromium.js'
import { root } from './helpers/root.js'

/** The page that docs/captcha.md shows for ALTCHA. */
const page = (): string => {
  const [, html = ''] = /```html\n([^`]*altcha-widget[^`]*)```/.exec(readFileSync(join(root, 'docs/captcha.md'), 'utf8')) ?? []
  return `<!doctype html><title>Register</title>${html}`
}

t.test(
  'the widget of ALTCHA solves a challenge in Chromium, and the page of the documentation registers with it',
  { skip: skipWithoutChromium() },
  async (t) => {
    const { app, send } = await buildApp(t, { captcha: { provider: altcha({ cost: 100 }) } }, (app) => {
      app.get('/', (_request, reply) => reply.type('text/html').send(page()))
      app.get('/favicon.ico', (_request, reply) => reply.code(204).send())
      app.get('/altcha.min.js', (_request, reply) => reply
        .type('text/javascript')
        .send(readFileSync(join(root, 'node_modules/altcha/dist/main/altcha.min.js'))))
    })
    const origin = await app.listen({ host: '127.0.0.1', port: 0 })
    const { page: browser, faults } = await openPage(t, { width: 800, height: 600 })
    await browser.goto(origin)
    const output = browser.locator('output')
    const register = async (): Promise<string> => {
      await browser.evaluate("document.querySelector('output').textContent = ''")
      await browser.locator('button', { hasText: 'Register' }).click()
      await output.filter({ hasText: /./ }).waitFor()
      return await output.textContent() ?? ''
    }
    const solve = async (): Promise<void> => {
      await browser.waitForFunction("!document.querySelector('input[name=altcha]')?.value")
      await browser.locator('altcha-widget input[type=checkbox]').click({ force: true }) // a drawing covers the box
      await browser.waitForFunction("document.querySelector('input[name=altcha]')?.value.length > 100")
    }

    await browser.locator('[name=email]').fill(ARTHUR)
    await browser.locator('[name=password]').fill('short')
    await solve()
    t.equal(await register(), 'FST_USERS_REGISTER_INVALID_PASSWORD', 'the captcha passes, the password does not')
    t.equal(await app.users.getByEmail(ARTHUR), null)

    await browser.locator('[name=password]').fill(PASSWORD)
    await solve()
    const used = await browser.locator('input[name=altcha]').inputValue()
    t.equal(await register(), 'Registered.', 'after a reset, the widget solves another challenge')
    t.equal((await app.users.getByEmail(ARTHUR))?.email, ARTHUR)
    const again = await send('POST', '/auth/register', { email: 'merlin@camelot.bt', password: PASSWORD, altcha: used })
    t.equal(again.json<{ code: string }>().code, 'FST_USERS_CAPTCHA_FAILED')
    t.strictSame(faults, ['400'], 'the console has only the refused password')
  }
)
