# For Key4hep's spack repository, as packages/k4calofast/package.py; ../README.md says what is
# still missing there.
from spack.package import *
from spack.pkg.k4.key4hep_stack import Key4hepPackage


class K4calofast(CMakePackage, Key4hepPackage):
    """Calorimeter fast simulation for Key4hep: MCParticles in, calorimeter hits out,
    with ONNX generators"""

    homepage = "https://github.com/k4calofast/k4calofast"
    url = "https://github.com/k4calofast/k4calofast/archive/refs/tags/v0.1.0.tar.gz"
    git = "https://github.com/k4calofast/k4calofast.git"

    license("Apache-2.0")

    version("main", branch="main")
    # version("0.1.0", sha256="that of the tag's archive")

    variant("training", default=False, description="Train generators: `k4calofast train`")
    variant("validation", default=False, description="Compare with Geant4: `k4calofast validate`")

    depends_on("cxx", type="build")
    depends_on("cmake@3.24:", type="build")

    depends_on("gaudi@40:")
    depends_on("k4fwcore@1.7:")
    depends_on("podio@1.7:")
    depends_on("edm4hep@1.1:")
    depends_on("root")
    depends_on("python@3.11:", type=("build", "link", "run"))

    with default_args(type="run"):
        depends_on("py-awkward@2.8:")
        depends_on("py-fsspec@2024.2:")
        depends_on("py-matplotlib@3.9.4:")
        depends_on("py-mplhep@0.4:")
        depends_on("py-numpy@2.0:")
        depends_on("py-onnxruntime@1.20:")
        depends_on("py-platformdirs@4.0:")
        depends_on("py-pooch@1.8:")
        depends_on("py-pybes3@0.5.6:")
        depends_on("py-particle@0.25:")
        depends_on("py-plotly@6.0:")
        depends_on("py-pydantic@2.9:")
        depends_on("py-pyyaml@6.0:")
        depends_on("py-rich@13.9:")
        depends_on("py-typer@0.26:")
        depends_on("py-uproot@5.7.7:5.7")
        depends_on("py-vector@1.5:")
        depends_on("py-xxhash@3.0:")

        with when("+training"):
            depends_on("py-h5py@3.11:")
            depends_on("py-lightning@2.6:")
            depends_on("py-onnx@1.17:")
            depends_on("py-optuna@4.5:")
            depends_on("py-tensorboard@2.18:")
            depends_on("py-torch@2.13.0")
            depends_on("py-zuko@1.6:")

        with when("+validation"):
            depends_on("py-h5py@3.11:")
            depends_on("py-jinja2@3.1:")
            depends_on("py-onnx@1.17:")
            depends_on("py-scikit-learn@1.5:")
            depends_on("py-scipy@1.13:")

    # Tests run every options file in Key4hep's k4run.
    depends_on("py-pytest", type="test")

    def cmake_args(self):
        return [
            self.define("CMAKE_CXX_STANDARD", self.spec["root"].variants["cxxstd"].value),
            self.define("CMAKE_INSTALL_LIBDIR", "lib"),
            self.define("BUILD_TESTING", self.run_tests),
        ]

    def setup_run_environment(self, env):
        env.prepend_path("PYTHONPATH", self.prefix.python)
        env.prepend_path("LD_LIBRARY_PATH", self.prefix.lib)
