import neostandard, { plugins } from 'neostandard'

export default [
  ...neostandard({
    ts: true,
    filesTs: ['**/*.cts'],
    ignores: ['dist/**', '.tap/**', 'coverage/**', 'docs/api/**', 'docs/.vitepress/cache/**', 'docs/.vitepress/dist/**']
  }),
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      camelcase: 'off',
      // a TypeBox schema and its static type share one name; the compiler refuses what is really declared twice
      '@typescript-eslint/no-redeclare': 'off',
      // messages and SQL statements are read better in one piece
      '@stylistic/max-len': [
        'error',
        { code: 120, ignoreUrls: true, ignoreRegExpLiterals: true, ignoreStrings: true, ignoreTemplateLiterals: true }
      ]
    }
  },
  {
    // a type test is one line, which its error must be in
    files: ['test/types/**'],
    rules: { '@stylistic/max-len': 'off' }
  },
  {
    files: ['lib/**/*.{ts,cts}', 'schemas/**/*.ts'],
    rules: {
      'max-lines': ['error', { max: 250, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }]
    }
  },
  {
    files: ['lib/**/*.{ts,cts}'],
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error'
    }
  }
]
