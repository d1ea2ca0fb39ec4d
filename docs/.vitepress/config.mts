import { defineConfig } from 'vitepress'

/** Returns the anchor of a heading in the form of GitHub, so that links to headings work on both sites. */
function anchorOf (heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')
}

export default defineConfig({
  title: 'fastify-users',
  description: 'User management for Fastify',
  cleanUrls: true,
  markdown: { anchor: { slugify: anchorOf } },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Guide', link: '/flow' },
      { text: 'Options', link: '/options' },
      { text: 'API reference', link: '/api/' }
    ],
    sidebar: {
      '/api/': [
        {
          text: 'API reference',
          link: '/api/',
          items: [
            { text: 'fastify-users', link: '/api/fastify-users/' },
            { text: 'fastify-users/feature', link: '/api/fastify-users/feature/' },
            { text: 'fastify-users/audit', link: '/api/fastify-users/audit/' },
            { text: 'fastify-users/captcha', link: '/api/fastify-users/captcha/' },
            { text: 'fastify-users/email-login', link: '/api/fastify-users/email-login/' },
            { text: 'fastify-users/account', link: '/api/fastify-users/account/' },
            { text: 'fastify-users/api-keys', link: '/api/fastify-users/api-keys/' },
            { text: 'fastify-users/drizzle', link: '/api/fastify-users/drizzle/' },
            { text: 'fastify-users/kysely', link: '/api/fastify-users/kysely/' },
            { text: 'fastify-users/memory', link: '/api/fastify-users/memory/' },
            { text: 'fastify-users/mongodb', link: '/api/fastify-users/mongodb/' },
            { text: 'fastify-users/mysql', link: '/api/fastify-users/mysql/' },
            { text: 'fastify-users/oauth', link: '/api/fastify-users/oauth/' },
            { text: 'fastify-users/opentelemetry', link: '/api/fastify-users/opentelemetry/' },
            { text: 'fastify-users/postgres', link: '/api/fastify-users/postgres/' },
            { text: 'fastify-users/prisma', link: '/api/fastify-users/prisma/' },
            { text: 'fastify-users/recovery-codes', link: '/api/fastify-users/recovery-codes/' },
            { text: 'fastify-users/redis', link: '/api/fastify-users/redis/' },
            { text: 'fastify-users/passkeys', link: '/api/fastify-users/passkeys/' },
            { text: 'fastify-users/refresh-tokens', link: '/api/fastify-users/refresh-tokens/' },
            { text: 'fastify-users/roles', link: '/api/fastify-users/roles/' },
            { text: 'fastify-users/sessions', link: '/api/fastify-users/sessions/' },
            { text: 'fastify-users/sqlite', link: '/api/fastify-users/sqlite/' },
            { text: 'fastify-users/testing', link: '/api/fastify-users/testing/' },
            { text: 'fastify-users/totp', link: '/api/fastify-users/totp/' }
          ]
        },
        { text: 'Guide', link: '/' }
      ],
      '/': [
        {
          text: 'Start',
          items: [
            { text: 'Overview', link: '/' },
            { text: 'The complete flow', link: '/flow' },
            { text: 'Concepts', link: '/concepts' },
            { text: 'Guard', link: '/guard' },
            { text: 'Routes', link: '/routes' },
            { text: 'Options', link: '/options' },
            { text: 'Custom fields', link: '/custom-fields' },
            { text: 'Sending mail', link: '/mail' },
            { text: 'Errors', link: '/errors' }
          ]
        },
        {
          text: 'Register and log in',
          items: [
            { text: 'Passwords', link: '/passwords' },
            { text: 'Registration by mail', link: '/registration' },
            { text: 'Login with providers', link: '/oauth' },
            { text: 'Linked accounts', link: '/linked-accounts' },
            { text: 'Login by e-mail', link: '/email-login' },
            { text: 'Passkeys', link: '/passkeys' },
            { text: 'Second factors', link: '/second-factors' },
            { text: 'Authenticator apps', link: '/authenticator-apps' }
          ]
        },
        {
          text: 'Sessions',
          items: [
            { text: 'Sessions', link: '/sessions' },
            { text: 'Logout', link: '/logout' },
            { text: 'Refresh tokens', link: '/refresh-tokens' },
            { text: 'Step-up authentication', link: '/step-up' },
            { text: 'Cookies and CSRF', link: '/cookies-and-csrf' },
            { text: 'Open connections', link: '/open-connections' }
          ]
        },
        {
          text: 'Accounts and rights',
          items: [
            { text: 'Roles and scopes', link: '/roles' },
            { text: 'API keys', link: '/api-keys' },
            { text: 'Account', link: '/account' },
            { text: 'E-mail changes', link: '/email-changes' },
            { text: 'New devices', link: '/new-devices' },
            { text: 'Several tenants', link: '/tenants' }
          ]
        },
        {
          text: 'Your code',
          items: [
            { text: 'Hooks', link: '/hooks' },
            { text: 'Login steps', link: '/login-steps' },
            { text: 'Your own features', link: '/features' },
            { text: 'Your own transport and strategy', link: '/transports-and-strategies' },
            { text: 'In your application', link: '/your-application' },
            { text: 'OpenAPI', link: '/openapi' },
            { text: 'TypeScript', link: '/typescript' },
            { text: 'Testing', link: '/testing' },
            { text: 'Recipes', link: '/recipes' }
          ]
        },
        {
          text: 'Databases',
          items: [
            { text: 'SQLite', link: '/databases/sqlite' },
            { text: 'PostgreSQL', link: '/databases/postgresql' },
            { text: 'MySQL and MariaDB', link: '/databases/mysql' },
            { text: 'MongoDB', link: '/databases/mongodb' },
            { text: 'Kysely', link: '/databases/kysely' },
            { text: 'Drizzle', link: '/databases/drizzle' },
            { text: 'Prisma', link: '/databases/prisma' },
            { text: 'Redis', link: '/databases/redis' },
            { text: 'Memory', link: '/databases/memory' },
            { text: 'Your own adapter', link: '/databases/your-own' }
          ]
        },
        {
          text: 'Run',
          items: [
            { text: 'Deployment', link: '/deployment' },
            { text: 'The command line', link: '/command-line' },
            { text: 'Keys', link: '/keys' },
            { text: 'Bundling', link: '/bundling' },
            { text: 'Troubleshooting', link: '/troubleshooting' },
            { text: 'Security', link: '/security' },
            { text: 'Upper limits', link: '/upper-limits' },
            { text: 'Limits', link: '/limits' },
            { text: 'Captcha', link: '/captcha' },
            { text: 'Audit events', link: '/audit' },
            { text: 'OpenTelemetry', link: '/opentelemetry' },
            { text: 'User cache', link: '/user-cache' }
          ]
        },
        {
          text: 'FastAPI Users',
          items: [
            { text: 'Compatibility', link: '/compatibility' },
            { text: 'Moving', link: '/moving-from-fastapi-users' }
          ]
        },
        {
          text: 'Contributing',
          items: [
            { text: 'Architecture', link: '/contributing/architecture' },
            { text: 'Behaviour', link: '/contributing/behaviour' },
            { text: 'How FastAPI Users behaves', link: '/contributing/upstream' },
            { text: 'Security rules', link: '/contributing/security-rules' },
            { text: 'OWASP ASVS', link: '/contributing/asvs' }
          ]
        }
      ]
    }
  }
})
